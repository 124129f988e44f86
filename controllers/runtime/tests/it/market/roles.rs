//! Which roles of schedulers get records by themselves, and what becomes of those.

use meseta_crds::FrameworkRole;

use super::*;

/// The names of all roles that have records.
async fn known(admin: &Client) -> Vec<String> {
    let roles: Api<FrameworkRole> = Api::all(admin.clone());
    let roles = roles.list(&kube::api::ListParams::default()).await.unwrap();
    roles.into_iter().map(|role| role.name_any()).collect()
}

#[tokio::test]
async fn a_role_gets_a_record_when_something_runs_in_it_and_not_when_it_is_only_named() {
    let server = Server::start().await;
    let admin = server.admin();
    agents::register(&admin, "one", 4).await;
    let (_control_plane, handle) = server.control_plane("a");
    let term = leading(&handle).await;
    let names: Vec<String> = (0..8).map(|number| format!("a{number}")).collect();
    let named = std::iter::once("ops").chain(names.iter().map(String::as_str));
    let named: Vec<&str> = named.collect();
    let mut scheduler = Scheduler::enter(&admin, &term.market, "spark", &named).await;
    let roles = named.iter().map(|&name| name.to_owned()).chain(["used".to_owned()]).collect();
    let suppressed = named.iter().map(|&name| name.to_owned()).collect();
    scheduler.market.set_roles(scheduler.uid(), roles, suppressed).await.unwrap();
    let offer = loop {
        match scheduler.next().await {
            Some(Notice::Offered(offers)) if offers[0].role == "used" => break offers[0].clone(),
            Some(Notice::Offered(offers)) => scheduler.decline(&offers, LONG).await,
            _ => {}
        }
    };
    let taken = scheduler.take(&[&offer]).await;
    let mut task = scheduler.task("t", 1);
    task.spec.role = "used".to_owned();
    scheduler.market.launch(taken, vec![task], LONG).await.unwrap()[0].as_ref().unwrap();
    // Records are made in the order of their names: those before it would be there by now. That of
    // the framework's first role is.
    let admin = &admin;
    crate::eventually(|| async move {
        let known = known(admin).await;
        if known.iter().any(|name| name == "used") { Ok(()) } else { Err(format!("{known:?}")) }
    })
    .await;
    assert_eq!(known(admin).await, ["ops", "used"]);
}

#[tokio::test]
async fn a_record_that_came_by_itself_goes_with_the_last_user_unless_somebody_wrote_into_it() {
    let server = Server::start().await;
    let admin = server.admin();
    let config = Config { unused_roles: Duration::ZERO, ..config("a") };
    let client = server.client("a", CONTROL_PLANE_GROUP);
    let (_control_plane, handle) = server.control_plane_with(config, client);
    let term = leading(&handle).await;
    let roles: Api<FrameworkRole> = Api::all(admin.clone());
    let frameworks: Api<Framework> = Api::namespaced(admin.clone(), "default");
    let admin = &admin;
    for name in ["one", "two"] {
        Scheduler::enter(admin, &term.market, name, &[name]).await;
    }
    crate::eventually(|| async move {
        let known = known(admin).await;
        if known == ["one", "two"] { Ok(()) } else { Err(format!("{known:?}")) }
    })
    .await;
    let patch = Patch::Merge(json!({"spec": {"weight": 2}}));
    roles.patch("two", &PatchParams::default(), &patch).await.unwrap();
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    for name in ["two", "one"] {
        frameworks.patch(name, &PatchParams::default(), &patch).await.unwrap();
        frameworks.delete(name, &kube::api::DeleteParams::default()).await.unwrap();
    }
    crate::eventually(|| async move {
        let known = known(admin).await;
        if known == ["two"] { Ok(()) } else { Err(format!("{known:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_role_of_which_nothing_runs_any_more_holds_nothing_and_is_written_no_more() {
    let server = Server::start().await;
    let admin = server.admin();
    agents::register(&admin, "one", 4).await;
    let (_control_plane, handle) = server.control_plane("a");
    let term = leading(&handle).await;
    let mut scheduler = Scheduler::enter(&admin, &term.market, "spark", &["eng"]).await;
    let offer = scheduler.offers(1).await.remove(0);
    let taken = scheduler.take(&[&offer]).await;
    let task = scheduler.task("t", 1);
    scheduler.market.launch(taken, vec![task], LONG).await.unwrap()[0].as_ref().unwrap();
    // What is offered is held, too.
    scheduler.market.suppress(scheduler.uid(), Vec::new()).await.unwrap();
    let roles: Api<FrameworkRole> = Api::all(admin.clone());
    let roles = &roles;
    let held = |wanted: &'static str| {
        crate::eventually(move || async move {
            let role = roles.get("eng").await.map_err(|err| err.to_string())?;
            let status = role.status.clone().unwrap_or_default();
            if cpus(&status.allocated) == wanted { Ok(role) } else { Err(format!("{status:?}")) }
        })
    };
    held("1").await;
    end(&admin, "t", TaskState::Finished).await;
    let version = held("0").await.resource_version();
    // Longer than between two reports.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(roles.get("eng").await.unwrap().resource_version(), version);
}
