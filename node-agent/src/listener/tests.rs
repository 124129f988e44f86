//! Who is served, and what is refused.

use http_body_util::Empty;

use super::*;
use crate::cgroup::Cgroups;

async fn ask(routes: &Routes, request: Request<Empty<Bytes>>, group: Option<&str>) -> StatusCode {
    let mut request = request;
    if let Some(group) = group {
        let identity = Identity { user: "x".to_owned(), groups: vec![group.to_owned()] };
        request.extensions_mut().insert(identity);
    }
    routes.answer(request).await.status()
}

fn request(method: Method, path: &str) -> Request<Empty<Bytes>> {
    Request::builder().method(method).uri(path).body(Empty::new()).unwrap()
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    request(Method::GET, path)
}

#[tokio::test]
async fn only_control_planes_and_administrators_are_served() {
    let root = tempfile::tempdir().unwrap();
    let directory = Arc::new(Directory::open(root.path()).unwrap());
    std::fs::create_dir_all(directory.task("uid-1").sandbox()).unwrap();
    let routes = Routes {
        directory,
        outputs: Outputs::default(),
        registry: Arc::new(Registry::new(Cgroups::detect().unwrap())),
        executors: None,
    };
    let log = "/v1/tasks/uid-1/log";
    for path in [log, "/v1/messages"] {
        for group in [meseta_pki::CONTROL_PLANE_GROUP, meseta_pki::ADMIN_GROUP] {
            assert_eq!(ask(&routes, get(path), Some(group)).await, StatusCode::OK);
        }
        for group in [None, Some(meseta_pki::AGENTS_GROUP), Some("readers")] {
            assert_eq!(ask(&routes, get(path), group).await, StatusCode::FORBIDDEN);
        }
    }
    let group = Some(meseta_pki::ADMIN_GROUP);
    for path in [
        "/",
        "/v1/tasks//log",
        "/v1/tasks/../log",
        "/v1/tasks/uid-2/log",
        "/v1/tasks/a",
        "/v1/executors//message",
        "/v1/messages/",
    ] {
        assert_eq!(ask(&routes, get(path), group).await, StatusCode::NOT_FOUND, "{path}");
    }
    let wrong = ask(&routes, get(&format!("{log}?stream=x")), group).await;
    assert_eq!(wrong, StatusCode::BAD_REQUEST);
    let message = "/v1/executors/uid-1/message";
    for (method, path) in
        [(Method::POST, log), (Method::GET, message), (Method::POST, "/v1/messages")]
    {
        let status = ask(&routes, request(method, path), group).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    let status = ask(&routes, request(Method::POST, message), group).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "the executor is not connected");
}
