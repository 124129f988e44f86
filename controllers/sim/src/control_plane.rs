//! A control plane's controllers on a thread of their own, to be frozen and killed.
//!
//! Everything of it runs on one thread, so blocking that thread does what SIGSTOP does to a process:
//! nothing moves, no matter which clock it looks at, and then everything goes on as if nothing had
//! been. Ending the thread's runtime does what SIGKILL does: each future is dropped where it stands.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use kube::Client;
use meseta_runtime::{Config, Controllers, Handle};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Running controllers. Dropping it kills them.
#[derive(Debug)]
pub struct ControlPlane {
    stop: CancellationToken,
    kill: CancellationToken,
    handle: Handle,
    ice: Arc<Ice>,
    thread: Option<thread::JoinHandle<Result<(), meseta_runtime::Error>>>,
}

/// What holds the thread.
#[derive(Debug, Default)]
struct Ice {
    wanted: Notify,
    frozen: Mutex<bool>,
    thawed: Condvar,
}

impl ControlPlane {
    /// Starts it. `client` is called on its thread, inside its runtime.
    ///
    /// # Panics
    /// If the system gives no thread.
    #[must_use]
    pub fn start(config: Config, client: impl FnOnce() -> Client + Send + 'static) -> Self {
        let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
        let ice = Arc::new(Ice::default());
        let name = config.identity.clone();
        let (controllers, handle) = Controllers::new(config);
        let thread = {
            let (stop, kill, ice) = (stop.clone(), kill.clone(), ice.clone());
            thread::Builder::new().name(name).spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("a runtime needs a few file descriptors");
                runtime.block_on(async {
                    tokio::spawn(async move { ice.hold().await });
                    let controllers = controllers.run(client(), stop);
                    tokio::select! {
                        biased;
                        () = kill.cancelled() => Ok(()),
                        ended = Box::pin(controllers) => ended,
                    }
                })
            })
        };
        let thread = Some(thread.expect("a simulation has few threads"));
        Self { stop, kill, handle, ice, thread }
    }

    /// A look into it; it stays when the control plane is gone.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops everything in it until [`Self::thaw`].
    pub fn freeze(&self) {
        *self.ice.frozen.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ice.wanted.notify_one();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        *self.ice.frozen.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.ice.thawed.notify_all();
    }

    /// Ends it in good order: writes under way are finished and the lease is given back.
    ///
    /// # Errors
    /// What the controllers ended with.
    ///
    /// # Panics
    /// If the controllers panicked.
    pub fn shut_down(mut self) -> Result<(), meseta_runtime::Error> {
        self.thaw();
        self.stop.cancel();
        let thread = self.thread.take();
        thread.map_or(Ok(()), |thread| thread.join().expect("controllers do not panic"))
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.kill.cancel();
        self.thaw();
        if let Some(thread) = self.thread.take() {
            // Whoever drops it does not ask how it ended.
            drop(thread.join());
        }
    }
}

impl Ice {
    /// Blocks the thread it runs on whenever that is wanted.
    async fn hold(&self) {
        loop {
            self.wanted.notified().await;
            let frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner);
            let thawed = self.thawed.wait_while(frozen, |frozen| *frozen);
            drop(thawed.unwrap_or_else(PoisonError::into_inner));
        }
    }
}
