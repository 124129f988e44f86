//! Keeps the record of a task as its life goes on.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;

use super::run::chain;
use crate::node::{Node, unix_millis};
use crate::report::{self, Backoff, Mirror, Record, View};

/// Keeps the record as `views` says, as long as the task has not ended.
pub(super) async fn report_progress(
    node: &Node,
    mirror: &mut Mirror,
    mut views: watch::Receiver<View>,
) {
    let mut backoff = Backoff::default();
    loop {
        let view = views.borrow_and_update().clone();
        let mut pause = None;
        if let Record::Present(task) = mirror.current()
            && !report::is_terminal(&task)
            && !view.state.is_terminal()
            && !view.is_in(&task)
        {
            let left = u64::try_from(view.due - unix_millis()).unwrap_or(0);
            if left > 0 {
                pause = Some(Duration::from_millis(left));
            } else {
                match report::write_status(node, &task, &view).await {
                    Ok(task) => {
                        mirror.wrote(task);
                        backoff.reset();
                        continue;
                    }
                    Err(err) => {
                        tracing::debug!(
                            error = chain(&err),
                            task = task.metadata.name,
                            "not reported"
                        );
                        let again = mirror.after(node, &task, &err).await;
                        pause = Some(if again { Duration::ZERO } else { backoff.next() });
                    }
                }
            }
        }
        let paused = pin!(async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        });
        tokio::select! {
            () = paused => {}
            () = mirror.changed() => {}
            changed = views.changed() => if changed.is_err() {
                std::future::pending::<()>().await;
            },
        }
    }
}
