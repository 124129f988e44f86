//! Which calls of schedulers are well-formed. The server answers 400 or 501 to the others.

use meseta_mesos_wire::v1::scheduler::{Call, call};

use super::statuses::UUID_LENGTH;

/// Why a call is not even looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 400, with this text.
    Invalid(String),
    /// 501: of the type `UNKNOWN`.
    Unknown,
}

/// What a 400 for an invalid call begins with.
pub const PREFIX: &str = "Failed to validate scheduler::Call: ";

/// Checks a call of whoever authenticated as `principal`, and returns its type.
///
/// # Errors
/// The first fault, in Mesos' words and with [`PREFIX`].
pub fn check(call: &Call, principal: Option<&str>) -> Result<call::Type, Fault> {
    use call::Type as T;
    let invalid = |text: &str| Err(Fault::Invalid(format!("{PREFIX}{text}")));
    let missing = |field: &str| invalid(&format!("Expecting '{field}' to be present"));

    let Some(kind) = call.r#type.and_then(|kind| T::try_from(kind).ok()) else {
        return missing("type");
    };
    if kind == T::Subscribe {
        let Some(subscribe) = &call.subscribe else { return missing("subscribe") };
        let info = &subscribe.framework_info;
        if id_text(&call.framework_id) != id_text(&info.id) {
            return invalid("'framework_id' differs from 'subscribe.framework_info.id'");
        }
        if let (Some(principal), Some(other)) = (principal, &info.principal)
            && principal != other
        {
            return invalid(&format!(
                "Authenticated principal '{principal}' does not match principal '{other}' set in \
                 `FrameworkInfo`"
            ));
        }
        return Ok(kind);
    }
    if call.framework_id.is_none() {
        return missing("framework_id");
    }
    let body = match kind {
        T::Unknown => return Err(Fault::Unknown),
        T::Subscribe | T::Teardown | T::Revive | T::Suppress => None,
        T::Accept => call.accept.is_none().then_some("accept"),
        T::Decline => call.decline.is_none().then_some("decline"),
        T::AcceptInverseOffers => {
            call.accept_inverse_offers.is_none().then_some("accept_inverse_offers")
        }
        T::DeclineInverseOffers => {
            call.decline_inverse_offers.is_none().then_some("decline_inverse_offers")
        }
        T::Kill => call.kill.is_none().then_some("kill"),
        T::Shutdown => call.shutdown.is_none().then_some("shutdown"),
        T::Acknowledge => call.acknowledge.is_none().then_some("acknowledge"),
        T::AcknowledgeOperationStatus => {
            call.acknowledge_operation_status.is_none().then_some("acknowledge_operation_status")
        }
        T::Reconcile => call.reconcile.is_none().then_some("reconcile"),
        T::ReconcileOperations => {
            call.reconcile_operations.is_none().then_some("reconcile_operations")
        }
        T::Message => call.message.is_none().then_some("message"),
        T::Request => call.request.is_none().then_some("request"),
        T::UpdateFramework => call.update_framework.is_none().then_some("update_framework"),
    };
    if let Some(body) = body {
        return missing(body);
    }
    let uuid = match (&call.acknowledge, &call.acknowledge_operation_status) {
        (Some(acknowledge), _) if kind == T::Acknowledge => Some(&acknowledge.uuid),
        (_, Some(acknowledge)) if kind == T::AcknowledgeOperationStatus => Some(&acknowledge.uuid),
        _ => None,
    };
    if let Some(uuid) = uuid.filter(|uuid| uuid.len() != UUID_LENGTH) {
        return invalid(&format!("Invalid number of bytes {} for a UUID", uuid.len()));
    }
    match (&call.acknowledge_operation_status, &call.update_framework) {
        (Some(acknowledge), _)
            if kind == T::AcknowledgeOperationStatus && acknowledge.agent_id.is_none() =>
        {
            missing("agent_id")
        }
        (_, Some(update))
            if kind == T::UpdateFramework
                && id_text(&call.framework_id) != id_text(&update.framework_info.id) =>
        {
            invalid("'framework_id' differs from 'update_framework.framework_info.id'")
        }
        _ => Ok(kind),
    }
}

/// The id, where absent and empty are the same.
fn id_text(id: &Option<meseta_mesos_wire::v1::FrameworkId>) -> &str {
    id.as_ref().map_or("", |id| &id.value)
}

#[cfg(test)]
mod tests;
