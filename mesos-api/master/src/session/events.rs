//! The events of the scheduler API.

use bytes::Bytes;
use meseta_mesos_wire::v1::scheduler::{Event, event};
use meseta_mesos_wire::{Encoding, MESOS_VERSION, recordio, v1};

use super::stream::HEARTBEAT_INTERVAL;
use crate::address::Advertised;

/// An event as a framed record.
pub(crate) fn record(encoding: Encoding, event: &Event) -> Bytes {
    Bytes::from(recordio::frame(&encoding.encode(event)))
}

fn of(kind: event::Type) -> Event {
    Event { r#type: Some(kind.into()), ..Event::default() }
}

/// The first event of a stream.
pub(super) fn subscribed(framework_id: &str, master_id: &str, at: &Advertised) -> Event {
    let address = v1::Address {
        hostname: Some(at.host.clone()),
        ip: Some(at.ip.to_string()),
        port: at.port.into(),
    };
    let master_info = v1::MasterInfo {
        id: master_id.to_owned(),
        // In network order as it lies in the memory of most machines, like a Mesos master.
        ip: u32::from_le_bytes(at.ip.octets()),
        port: at.port.into(),
        pid: Some(format!("master@{}:{}", at.ip, at.port)),
        hostname: Some(at.host.clone()),
        version: Some(MESOS_VERSION.to_owned()),
        address: Some(address),
        ..v1::MasterInfo::default()
    };
    let subscribed = event::Subscribed {
        framework_id: v1::FrameworkId { value: framework_id.to_owned() },
        heartbeat_interval_seconds: Some(HEARTBEAT_INTERVAL.as_secs_f64()),
        master_info: Some(master_info),
    };
    Event { subscribed: Some(subscribed), ..of(event::Type::Subscribed) }
}

/// A sign of life.
pub(crate) fn heartbeat() -> Event {
    of(event::Type::Heartbeat)
}

/// The last event of a stream that ends for a reason.
pub(crate) fn error(message: impl Into<String>) -> Event {
    let error = event::Error { message: message.into() };
    Event { error: Some(error), ..of(event::Type::Error) }
}

pub(super) fn offers(offers: Vec<v1::Offer>) -> Event {
    Event { offers: Some(event::Offers { offers }), ..of(event::Type::Offers) }
}

pub(super) fn rescind(offer: String) -> Event {
    let rescind = event::Rescind { offer_id: v1::OfferId { value: offer } };
    Event { rescind: Some(rescind), ..of(event::Type::Rescind) }
}

pub(super) fn update(status: v1::TaskStatus) -> Event {
    Event { update: Some(event::Update { status }), ..of(event::Type::Update) }
}

pub(super) fn operation(status: v1::OperationStatus) -> Event {
    let update = event::UpdateOperationStatus { status };
    Event { update_operation_status: Some(update), ..of(event::Type::UpdateOperationStatus) }
}

/// From an executor, for its scheduler.
pub(super) fn message(agent: &str, executor: &str, data: Vec<u8>) -> Event {
    let message = event::Message {
        agent_id: v1::AgentId { value: agent.to_owned() },
        executor_id: v1::ExecutorId { value: executor.to_owned() },
        data,
    };
    Event { message: Some(message), ..of(event::Type::Message) }
}

/// An executor or an agent has ended.
pub(crate) fn failure(failure: event::Failure) -> Event {
    Event { failure: Some(failure), ..of(event::Type::Failure) }
}
