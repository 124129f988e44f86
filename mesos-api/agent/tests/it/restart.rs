//! The agent dies and is started again; the executor lives on and subscribes again.

use meseta_mesos_agent::Progress;
use meseta_mesos_wire::Encoding;

use crate::agent::{Agent, lost, uid_of, until};
use crate::client::{Events, post, status, subscribe, update};

#[tokio::test]
async fn each_task_goes_on_from_where_it_stood() {
    let (agent, _standing) = Agent::with_executor().await;
    for task in ["running", "arrived", "lost", "finished"] {
        agent.launch(task);
    }
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED", "LAUNCH running", "LAUNCH arrived", "LAUNCH lost"]).await;
    events.expect(&["LAUNCH finished"]).await;
    for task in ["running", "finished"] {
        assert_eq!(post(agent.address, &update(task, "TASK_RUNNING", 1)).await.told(), "202");
    }
    let tasks = ["running", "arrived", "lost", "finished", "queued"];
    let (agent, mut standing) = agent.restart(&tasks).await;
    assert_eq!(agent.disk.progress(&uid_of("queued")), Progress::New);
    let early = post(agent.address, &update("running", "TASK_RUNNING", 2)).await;
    assert_eq!(early.told(), "403 Executor is not subscribed");

    // It finished a task meanwhile, and one launch never came.
    let brought = [status("finished", "TASK_FINISHED", 3)];
    let again = subscribe(&["arrived"], &brought);
    let mut events = Events::open_with(agent.address, &again, Encoding::Json).await;
    events.expect(&["SUBSCRIBED", "ACKNOWLEDGED finished", "LAUNCH queued"]).await;
    let standing = until(&mut standing, |standing| !standing.lost.is_empty()).await;
    assert_eq!(standing.lost, lost(&["lost"]));
    assert_eq!(agent.disk.states(&uid_of("finished")), ["TASK_RUNNING", "TASK_FINISHED"]);

    // An update that was stored, and whose acknowledgement was lost with the agent.
    assert_eq!(post(agent.address, &update("running", "TASK_RUNNING", 1)).await.told(), "202");
    events.expect(&["ACKNOWLEDGED running"]).await;
    assert_eq!(agent.disk.states(&uid_of("running")), ["TASK_RUNNING"]);
}
