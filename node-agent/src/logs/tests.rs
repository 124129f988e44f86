//! Who is served, and what is refused.

use http_body_util::Empty;

use super::*;

fn ask(directory: &Directory, path: &str, group: Option<&str>) -> StatusCode {
    let mut request = Request::get(path).body(Empty::<Bytes>::new()).unwrap();
    if let Some(group) = group {
        let identity = Identity { user: "x".to_owned(), groups: vec![group.to_owned()] };
        request.extensions_mut().insert(identity);
    }
    answer(&request, directory, &Outputs::default()).status()
}

#[tokio::test]
async fn only_control_planes_and_administrators_are_served() {
    let root = tempfile::tempdir().unwrap();
    let directory = Directory::open(root.path()).unwrap();
    std::fs::create_dir_all(directory.task("uid-1").sandbox()).unwrap();
    let log = "/v1/tasks/uid-1/log";
    for group in [meseta_pki::CONTROL_PLANE_GROUP, meseta_pki::ADMIN_GROUP] {
        assert_eq!(ask(&directory, log, Some(group)), StatusCode::OK);
    }
    for group in [None, Some(meseta_pki::AGENTS_GROUP), Some("readers")] {
        assert_eq!(ask(&directory, log, group), StatusCode::FORBIDDEN);
    }
    let group = Some(meseta_pki::ADMIN_GROUP);
    for path in ["/", "/v1/tasks//log", "/v1/tasks/../log", "/v1/tasks/uid-2/log", "/v1/tasks/a"] {
        assert_eq!(ask(&directory, path, group), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(ask(&directory, &format!("{log}?stream=x"), group), StatusCode::BAD_REQUEST);
}
