//! The output of tasks, for control planes: `GET /v1/tasks/{uid}/log?stream=&follow=&tailLines=`.
//!
//! ```text
//! stdout.1 ─► stdout ─► (grows) ─► rotated: the rest of what is open, then the new stdout
//! ```
//!
//! What is sent is what the files hold, oldest first; with `follow` until the task has ended and all
//! of it is sent. A slow reader costs some chunks of memory.

mod follow;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use http::{Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio_util::sync::CancellationToken;

use crate::directory::{Directory, Stream};
use crate::listener::{Answer, refuse};
use follow::{Follow, Wanted};

/// Outputs that may still grow: those of tasks that have not ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outputs(Arc<Mutex<HashMap<String, CancellationToken>>>);

/// The output of a task grows until this is dropped.
#[derive(Debug)]
pub(crate) struct Growing {
    uid: String,
    outputs: Outputs,
}

impl Outputs {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The output of a task may grow.
    pub(crate) fn open(&self, uid: &str) -> Growing {
        self.lock().insert(uid.to_owned(), CancellationToken::new());
        Growing { uid: uid.to_owned(), outputs: self.clone() }
    }

    /// Cancelled when the output of a task does not grow any more.
    fn ended(&self, uid: &str) -> CancellationToken {
        self.lock().get(uid).cloned().unwrap_or_else(|| {
            let ended = CancellationToken::new();
            ended.cancel();
            ended
        })
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        if let Some(ended) = self.outputs.lock().remove(&self.uid) {
            ended.cancel();
        }
    }
}

/// Answers with the output of a task.
pub(crate) fn answer(directory: &Directory, outputs: &Outputs, uid: &str, query: &str) -> Answer {
    let wanted = match Wanted::parse(query) {
        Ok(wanted) => wanted,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, "BadRequest", &why),
    };
    let task = directory.task(uid);
    if !task.exists() {
        let why = format!("this agent has no output of task {uid}");
        return refuse(StatusCode::NOT_FOUND, "NotFound", &why);
    }
    let follow = Follow::new(&task, wanted, outputs.ended(uid));
    let chunks = follow.chunks().map(|chunk| chunk.map(Frame::data));
    let mut response = Response::new(StreamBody::new(chunks).boxed_unsync());
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    // What a task wrote is never more than text, whatever it looks like.
    let as_it_says = header::HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, as_it_says);
    response
}

/// The stream that a query names.
fn stream(name: &str) -> Option<Stream> {
    [Stream::Stdout, Stream::Stderr].into_iter().find(|stream| stream.as_str() == name)
}
