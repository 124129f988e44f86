//! Images as they should be, and images that are damaged as a whole.

use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};

use super::made::{Archive, gzip};
use super::*;

struct Store {
    _root: tempfile::TempDir,
    images: Images,
    directory: Arc<Directory>,
}

impl Store {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let directory = Arc::new(Directory::open(root.path()).unwrap());
        Self { _root: root, images: Images::new(Arc::clone(&directory)), directory }
    }

    fn snapshots(&self) -> usize {
        std::fs::read_dir(self.directory.snapshots()).unwrap().count()
    }

    async fn error(&self, image: &str) -> Error {
        let Err(error) = self.images.prepare(image).await else { panic!("{image} is used") };
        error
    }
}

fn two_layers() -> Made {
    let mut made = Made::new()
        .layer(Archive::default().directory("bin/").file("bin/a", "a").file("etc/b", "b"))
        .layer(Archive::default().file("./bin/c", "c"));
    made.config["config"] = json!({
        "Entrypoint": ["/bin/a"], "Cmd": null, "Env": ["A=b"], "User": "1:2", "WorkingDir": "/w",
    });
    made
}

#[tokio::test]
async fn layers_are_unpacked_once_and_shared() {
    let store = Store::new();
    let made = two_layers();
    let reference = made.tagged("v1");
    let image = store.images.prepare(&reference).await.unwrap();
    assert_eq!(image.config.entrypoint, Some(vec!["/bin/a".to_owned()]));
    assert_eq!((&image.config.cmd, image.config.user.as_deref()), (&None, Some("1:2")));
    let [top, bottom] = &image.layers[..] else { panic!("{:?}", image.layers) };
    assert_eq!(std::fs::read_to_string(top.join("bin/c")).unwrap(), "c");
    assert!(!top.join("bin/a").exists(), "an overlay joins them, not we");
    let file = bottom.join("bin/a").metadata().unwrap();
    assert_eq!((file.mode() & 0o7777, file.mtime()), (0o644, 1_000_000));
    assert_eq!(bottom.join("bin").metadata().unwrap().mtime(), 1_000_000);

    // Not read again: the blobs may be gone.
    for layer in &made.layers {
        std::fs::remove_file(made.blob_path(layer["digest"].as_str().unwrap())).unwrap();
    }
    let again = store.images.prepare(&reference).await.unwrap();
    assert_eq!(again.layers, image.layers);
    assert_eq!(store.snapshots(), 2);
}

#[tokio::test]
async fn many_at_once_unpack_once() {
    let store = Store::new();
    let made = two_layers();
    let reference = made.tagged("v1");
    let prepared = (0..20).map(|_| store.images.prepare(&reference));
    let images = futures::future::join_all(prepared).await;
    let layers: Vec<_> = images.into_iter().map(|image| image.unwrap().layers).collect();
    assert!(layers.iter().all(|other| *other == layers[0]));
    assert_eq!(store.snapshots(), 2);
}

#[tokio::test]
async fn used_layers_are_kept_and_others_go_when_the_disk_is_full() {
    let store = Store::new();
    let made = two_layers();
    let image = store.images.prepare(&made.tagged("v1")).await.unwrap();
    assert_eq!(store.images.collect(false).await.unwrap(), 0);
    assert_eq!(store.images.collect(true).await.unwrap(), 0);
    let held = store.images.pin(&image.layers[..1]);
    drop(image);
    assert_eq!(store.images.collect(false).await.unwrap(), 0, "it may be used again");
    assert_eq!(store.images.collect(true).await.unwrap(), 1);
    drop(held);
    assert_eq!(store.images.collect(true).await.unwrap(), 1);
}

#[tokio::test]
async fn an_uncompressed_layer_is_one_too() {
    let store = Store::new();
    let archive = Archive::default().file("f", "x").finish();
    let made = Made::new().packed_layer(&archive, &archive);
    let image = store.images.prepare(&made.tagged("v1")).await.unwrap();
    assert_eq!(std::fs::read_to_string(image.layers[0].join("f")).unwrap(), "x");
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let store = Store::new();
    let made = two_layers();
    made.tagged("v1");
    let path = made.path().display().to_string();
    for (image, expected) in [
        ("oci:/nowhere/at/all:v1".to_owned(), "cannot open the layout /nowhere/at/all"),
        ("oci:/etc:v1".to_owned(), "/etc is no OCI layout"),
        (format!("oci:{path}:v2"), "has no tag `v2`; its tags: v1"),
        ("busybox".to_owned(), "only OCI layouts"),
    ] {
        let error = store.error(&image).await;
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    store.images.prepare(&format!("oci:{path}")).await.unwrap();
}

#[tokio::test]
async fn a_damaged_blob_is_named_whichever_it_is() {
    for (number, what) in ["manifest", "config", "layer"].into_iter().enumerate() {
        let store = Store::new();
        let made = two_layers();
        let reference = made.tagged("v1");
        let manifest = made.indexed()["digest"].as_str().unwrap().to_owned();
        let parsed = std::fs::read(made.blob_path(&manifest)).unwrap();
        let parsed: Value = serde_json::from_slice(&parsed).unwrap();
        let config = parsed["config"]["digest"].as_str().unwrap().to_owned();
        let layer = made.layers[0]["digest"].as_str().unwrap().to_owned();
        let digest = [manifest, config, layer][number].clone();
        let path = made.blob_path(&digest);
        let good = std::fs::read(&path).unwrap();

        let mut flipped = good.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        for (bad, why) in [
            (flipped, "its content differs from its digest"),
            (good[..good.len() - 1].to_vec(), "bytes instead of"),
        ] {
            std::fs::write(&path, bad).unwrap();
            let error = store.error(&reference).await;
            assert!(matches!(error, Error::Corrupt { .. }), "{what}: {error}");
            let text = error.to_string();
            assert!(text.contains(&digest) && text.contains(why), "{what}: {text}");
        }
        std::fs::remove_file(&path).unwrap();
        let text = store.error(&reference).await.to_string();
        assert!(text.contains(&digest) && text.contains("missing"), "{what}: {text}");
        assert_eq!(store.snapshots(), 0, "nothing that was refused has a name");
        std::fs::write(&path, good).unwrap();
        store.images.prepare(&reference).await.unwrap();
    }
}

#[tokio::test]
async fn a_layer_must_be_what_the_config_says_it_is() {
    let store = Store::new();
    let mut made = two_layers();
    let second = made.diff_ids[1].clone();
    made.diff_ids[0].clone_from(&second);
    let text = store.error(&made.tagged("v1")).await.to_string();
    assert!(text.contains("its content differs from its diff id"), "{text}");
    made.diff_ids.pop();
    let text = store.error(&made.tagged("v1")).await.to_string();
    assert!(text.contains("the manifest has 2 layers, the config 1"), "{text}");
    made.diff_ids.push("md5:x".to_owned());
    assert!(matches!(store.error(&made.tagged("v1")).await, Error::Corrupt { .. }));
}

#[tokio::test]
async fn zstd_is_refused_in_words() {
    let store = Store::new();
    let made = Made::new().packed_layer(b"x", &[0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]);
    let text = store.error(&made.tagged("v1")).await.to_string();
    assert!(text.contains("compressed with zstd, which this agent cannot unpack"), "{text}");
}

#[tokio::test]
async fn an_image_for_other_machines_is_none_for_this_one() {
    let store = Store::new();
    let mut made = two_layers();
    made.config["architecture"] = json!("s390x");
    let text = store.error(&made.tagged("v1")).await.to_string();
    assert!(text.contains("it is for linux/s390x, this agent is linux/"), "{text}");
}

#[tokio::test]
async fn an_index_of_platforms_is_gone_through() {
    let store = Store::new();
    let made = two_layers();
    let reference = made.tagged("v1");
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let mut here = made.indexed();
    here["platform"] = json!({"os": "linux", "architecture": architecture});
    let mut other = here.clone();
    other["platform"] = json!({"os": "linux", "architecture": "s390x"});
    let index = |manifests: &[&Value]| {
        let nested = json!({"schemaVersion": 2, "manifests": manifests}).to_string();
        let media_type = "application/vnd.oci.image.index.v1+json";
        let mut nested = made.blob(media_type, nested.as_bytes());
        nested["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
        made.index(&[nested]);
    };
    index(&[&other, &here]);
    store.images.prepare(&reference).await.unwrap();
    index(&[&other]);
    let text = store.error(&reference).await.to_string();
    assert!(text.contains("it has no variant for linux/"), "{text}");
}

#[tokio::test]
async fn bytes_after_the_archive_count() {
    let store = Store::new();
    let archive = Archive::default().file("f", "x").finish();
    let mut packed = gzip(&archive);
    packed.extend_from_slice(&gzip(b"more"));
    let made = Made::new().packed_layer(&archive, &packed);
    let text = store.error(&made.tagged("v1")).await.to_string();
    assert!(text.contains("differs from its diff id"), "{text}");
}
