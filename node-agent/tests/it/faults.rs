//! The agent dies, or an answer of the API server is lost, at every single write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use meseta_crds::TaskState;
use serde_json::json;
use tower::BoxError;

use crate::cluster::{Cluster, code_of, script, state_of, uid_of};
use crate::machine::Machine;
use crate::mesos::{command, executor, inner, states_of};

/// What happens to one write.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It is not carried out.
    Refused,
    /// It is carried out, and nobody is told.
    AnswerLost,
    /// It is carried out, and the agent dies before it is told.
    Killed,
}

/// A client whose `wanted`th write meets `fault`; counts the writes.
fn faulty(
    client: Client,
    wanted: usize,
    fault: Fault,
    writes: Arc<AtomicUsize>,
    killed: Arc<tokio::sync::Notify>,
) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, writes, killed) = (client.clone(), Arc::clone(&writes), Arc::clone(&killed));
        async move {
            // Heartbeats would make the count a matter of time.
            let is_write =
                *request.method() != Method::GET && !request.uri().path().contains("/leases");
            let number = if is_write { writes.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
            if number != wanted || !is_write {
                return client.send(request).await.map_err(BoxError::from);
            }
            match fault {
                Fault::Refused => Err("refused by the test".into()),
                Fault::AnswerLost => {
                    client.send(request).await?;
                    Err("lost by the test".into())
                }
                Fault::Killed => {
                    client.send(request).await?;
                    killed.notify_one();
                    std::future::pending().await
                }
            }
        }
    });
    Client::new(service, "default")
}

/// Starts a machine's agent, has `work` done on it with one fault, and gives what that returns and how
/// many writes it took.
async fn with_fault<T>(
    cluster: &Cluster,
    machine: &mut Machine,
    wanted: usize,
    fault: Fault,
    work: impl Future<Output = T>,
) -> (T, usize) {
    let writes = Arc::new(AtomicUsize::new(0));
    let killed = Arc::new(tokio::sync::Notify::new());
    let client = cluster.client_of(&machine.name);
    let through = faulty(client.clone(), wanted, fault, Arc::clone(&writes), Arc::clone(&killed));
    machine.start_agent_with(through);
    let mut work = std::pin::pin!(work);
    let done = tokio::select! {
        done = &mut work => done,
        () = killed.notified() => {
            machine.kill_agent().await;
            machine.start_agent_with(client);
            work.await
        }
    };
    (done, writes.load(Ordering::SeqCst))
}

/// Registers and runs two tasks, one of which is deleted, with one fault; how many writes it took.
async fn run(wanted: usize, fault: Fault) -> usize {
    let cluster = Cluster::start().await;
    let mut machine = Machine::new();
    let name = machine.name.clone();
    let work = async {
        let ends = uid_of(&cluster.place(&name, "ends", script("echo once; exit 3")).await);
        let mut goes = script("sleep 600");
        goes["terminationGracePeriodSeconds"] = json!(0);
        cluster.place(&name, "goes", goes).await;
        cluster.until_state("goes", TaskState::Running).await;
        cluster.delete("goes").await;
        cluster.until_gone("goes").await;
        (ends, cluster.until_released("ends").await)
    };
    let ((uid, ended), writes) = with_fault(&cluster, &mut machine, wanted, fault, work).await;
    let seen = (state_of(&ended), code_of(&ended));
    assert_eq!(seen, (TaskState::Failed, Some(3)), "{fault:?} at write {wanted}");
    assert_eq!(machine.output(&uid), "once\n", "{fault:?} at write {wanted}");
    machine.until_nothing_left(1).await;
    writes
}

/// The same with a command task, and a task inside an executor, of a Mesos framework.
async fn run_mesos(wanted: usize, fault: Fault) -> usize {
    let cluster = Cluster::start().await;
    let mut machine = Machine::new();
    let name = machine.name.clone();
    let work = async {
        cluster.launch(&name, "command", command(script("exit 3"), "command")).await;
        let executor = uid_of(&cluster.launch(&name, "e", executor("E", &[])).await);
        cluster.launch(&name, "inner", inner("e", "inner", "finish")).await;
        let command = cluster.until_told("command").await;
        let inner = cluster.until_told("inner").await;
        cluster.kill("e", None).await;
        cluster.until_told("e").await;
        (command, inner, executor)
    };
    let ((command, inner, executor), writes) =
        with_fault(&cluster, &mut machine, wanted, fault, work).await;
    let told = [states_of(&command).join(" "), states_of(&inner).join(" ")];
    let expected = ["STARTING RUNNING FAILED", "STARTING RUNNING FINISHED"];
    assert_eq!(told, expected, "{fault:?} at write {wanted}");
    let heard = machine.output(&executor);
    assert_eq!(heard.matches("LAUNCH inner").count(), 1, "{fault:?} at write {wanted}: {heard}");
    machine.until_nothing_left(3).await;
    writes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_at_any_write_tells_a_scheduler_each_state_once() {
    let most = run_mesos(usize::MAX, Fault::Refused).await;
    assert!(most <= 18, "registration, three writes a task, and a conflict or two: {most}");
    let mut met = 0;
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::Killed] {
        for wanted in 3..=most {
            met += usize::from(run_mesos(wanted, fault).await >= wanted);
        }
    }
    println!("{met} faults met at up to {most} writes");
    assert!(met >= 3 * 6, "the faults have to be met to prove anything: {met}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_at_any_write_changes_nothing_in_the_end() {
    let most = run(usize::MAX, Fault::Refused).await;
    assert!(most >= 7, "registration, and what two tasks need: {most}");
    let mut met = 0;
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::Killed] {
        for wanted in 1..=most {
            met += usize::from(run(wanted, fault).await >= wanted);
        }
    }
    println!("{met} faults met at up to {most} writes");
    assert!(met >= 3 * 7, "the faults have to be met to prove anything: {met}");
}
