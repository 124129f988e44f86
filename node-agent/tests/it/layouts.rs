//! OCI layouts with a small userland in them.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What the tests' scripts call.
const PROGRAMS: [&str; 5] = ["/bin/sh", "/bin/cat", "/bin/ls", "/bin/touch", "/usr/bin/id"];

/// An image in a layout directory.
pub(crate) struct Image {
    directory: tempfile::TempDir,
    layers: Vec<Value>,
    diff_ids: Vec<String>,
    config: Value,
}

/// A layer's archive.
pub(crate) type Archive = tar::Builder<Vec<u8>>;

impl Image {
    /// One layer: a shell, some programs, and what they need of libraries, from this machine.
    pub(crate) fn userland() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("blobs/sha256")).unwrap();
        std::fs::write(directory.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
            .unwrap();
        let mut image =
            Self { directory, layers: Vec::new(), diff_ids: Vec::new(), config: json!({}) };
        image.layer(|archive| {
            for path in programs_and_libraries() {
                let content = std::fs::read(&path).unwrap();
                file(archive, path.trim_start_matches('/'), 0o755, &content);
            }
            file(archive, "etc/passwd", 0o644, b"root:x:0:0::/root:/bin/sh\napp:x:7:8::/home:\n");
            file(archive, "lower", 0o644, b"from below\n");
        });
        image
    }

    /// Adds a layer on top.
    pub(crate) fn layer(&mut self, fill: impl FnOnce(&mut Archive)) {
        let mut archive = tar::Builder::new(Vec::new());
        fill(&mut archive);
        let archive = archive.into_inner().unwrap();
        let fast = flate2::Compression::fast();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), fast);
        packed.write_all(&archive).unwrap();
        let packed = packed.finish().unwrap();
        self.diff_ids.push(digest(&archive));
        self.layers.push(self.blob("application/vnd.oci.image.layer.v1.tar+gzip", &packed));
    }

    /// What the image says about how to run it.
    pub(crate) fn configure(&mut self, config: Value) {
        self.config = config;
    }

    /// Writes the rest; the image's reference.
    pub(crate) fn reference(&self) -> String {
        let config = json!({
            "os": "linux", "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
        });
        let config =
            self.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": self.layers});
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let mut manifest = self.blob(media_type, manifest.to_string().as_bytes());
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        std::fs::write(self.path().join("index.json"), index.to_string()).unwrap();
        format!("oci:{}:v1", self.path().display())
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The digest of the topmost layer's blob.
    pub(crate) fn top(&self) -> String {
        self.layers.last().unwrap()["digest"].as_str().unwrap().to_owned()
    }

    /// Where a blob is.
    pub(crate) fn blob_path(&self, digest: &str) -> std::path::PathBuf {
        self.path().join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        std::fs::write(self.blob_path(&digest), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }
}

/// The programs, their loader and their libraries, by absolute path.
fn programs_and_libraries() -> std::collections::BTreeSet<String> {
    let mut paths: std::collections::BTreeSet<String> = PROGRAMS.map(str::to_owned).into();
    for program in PROGRAMS {
        let listed = std::process::Command::new("ldd").arg(program).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let words = listed.split_whitespace().filter(|word| word.starts_with('/'));
        paths.extend(words.map(str::to_owned));
    }
    paths
}

/// Adds a file to a layer.
pub(crate) fn file(archive: &mut Archive, path: &str, mode: u32, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content).unwrap();
}

/// Adds a symbolic link to a layer.
pub(crate) fn link(archive: &mut Archive, path: &str, target: &str) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    archive.append_link(&mut header, path, target).unwrap();
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
