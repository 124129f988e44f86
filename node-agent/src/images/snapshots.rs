//! Unpacked layers: made once, kept while used and for a while after.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
use rustix::io::Errno;
use tokio::sync::Mutex as AsyncMutex;

use super::layer::{self, Limits};
use super::layout::{Found, Sha};
use super::{Error, layout};
use crate::beneath::Dir;
use crate::directory::{Directory, names};
use crate::node::blocking;

/// How long a layer that nobody uses is kept: an image that is used daily is unpacked once.
const KEPT_UNUSED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The unpacked layers of an agent, by chain id.
pub(crate) struct Snapshots {
    directory: Arc<Directory>,
    /// How often each is in use.
    pins: Arc<Mutex<BTreeMap<String, usize>>>,
    /// One lock per layer that is being unpacked: everybody else waits, and finds it.
    unpacking: Mutex<HashMap<String, Arc<AsyncMutex<()>>>>,
}

/// Keeps layers from being collected until it is dropped.
#[derive(Debug)]
pub(crate) struct Pin {
    chains: Vec<String>,
    pins: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = lock(&self.pins);
        for chain in &self.chains {
            if let Some(count) = pins.get_mut(chain) {
                *count -= 1;
                if *count == 0 {
                    pins.remove(chain);
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Snapshots {
    pub(super) fn new(directory: Arc<Directory>) -> Self {
        Self { directory, pins: Arc::default(), unpacking: Mutex::default() }
    }

    fn path(&self, chain: &str) -> PathBuf {
        self.directory.snapshots().join(chain)
    }

    /// Keeps the layers with these chain ids, whether they exist already or not.
    pub(super) fn pin_chains(&self, chains: &[Sha]) -> Pin {
        self.pin(chains.iter().map(|chain| chain.hex().to_owned()).collect())
    }

    /// Keeps the layers at these paths.
    pub(super) fn pin_paths(&self, paths: &[PathBuf]) -> Pin {
        let names = paths.iter().filter_map(|path| path.file_name()?.to_str());
        self.pin(names.map(str::to_owned).collect())
    }

    fn pin(&self, chains: Vec<String>) -> Pin {
        let mut pins = lock(&self.pins);
        for chain in &chains {
            *pins.entry(chain.clone()).or_default() += 1;
        }
        Pin { chains, pins: Arc::clone(&self.pins) }
    }

    /// The `index`th layer of an image, unpacked; `below` are the layers beneath, top to bottom.
    pub(super) async fn ensure(
        self: &Arc<Self>,
        found: &Arc<Found>,
        index: usize,
        below: Vec<PathBuf>,
        limits: Limits,
    ) -> Result<PathBuf, Error> {
        let chain = found.chain_ids()[index].hex().to_owned();
        let turn = Arc::clone(lock(&self.unpacking).entry(chain.clone()).or_default());
        // Moved into the work: it goes on when this future is dropped, and so does its turn.
        let guard = turn.lock_owned().await;
        let (own, found) = (Arc::clone(self), Arc::clone(found));
        let unpacked = blocking({
            let chain = chain.clone();
            move || {
                let unpacked = own.unpack(&found, index, &chain, &below, limits);
                drop(guard);
                unpacked
            }
        })
        .await;
        let mut unpacking = lock(&self.unpacking);
        // The guard held one, and it is gone: what is left are the map and those who wait.
        if unpacking.get(&chain).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            unpacking.remove(&chain);
        }
        unpacked
    }

    fn unpack(
        &self,
        found: &Found,
        index: usize,
        chain: &str,
        below: &[PathBuf],
        limits: Limits,
    ) -> Result<PathBuf, Error> {
        let path = self.path(chain);
        let io = |what: &str| {
            let what = format!("{what} of layer {}", found.layers[index].blob.digest);
            move |source: io::Error| Error::Io { what, source }
        };
        if path.try_exists().map_err(io("the snapshot"))? {
            touch(&path).map_err(io("the time of use"))?;
            return Ok(path);
        }
        let layer = &found.layers[index];
        tracing::info!(image = found.image, layer = %layer.blob.digest, "unpacking");
        let temporary = self.directory.new_temporary();
        fs::create_dir(&temporary).map_err(io("the directory"))?;
        let made =
            self.fill(found, index, &temporary, below, limits).and_then(|()| {
                match fs::rename(&temporary, &path) {
                    Ok(()) => Ok(()),
                    Err(source) => Err(Error::Io { what: format!("layer {chain}"), source }),
                }
            });
        if let Err(err) = made {
            if let Err(err) = self.directory.discard(&temporary) {
                let error = &err as &dyn std::error::Error;
                tracing::warn!(error, "a half unpacked layer is left until the next start");
            }
            return Err(err);
        }
        sync_directory(&self.directory.snapshots()).map_err(io("the name"))?;
        Ok(path)
    }

    fn fill(
        &self,
        found: &Found,
        index: usize,
        temporary: &Path,
        below: &[PathBuf],
        limits: Limits,
    ) -> Result<(), Error> {
        let layer = &found.layers[index];
        let name = layer.blob.digest.to_string();
        let io = |source: io::Error| Error::Io { what: format!("layer {name}"), source };
        let blob = found.open(layer)?;
        let into = Dir::open(temporary).map_err(io)?;
        let below: Vec<Dir> =
            below.iter().map(|path| Dir::open(path)).collect::<io::Result<_>>().map_err(io)?;
        match layer::unpack(blob, layer, &into, &below, limits) {
            Ok(()) => {}
            Err(layer::Error::Refused(why)) => {
                return Err(layout::corrupt(&found.image, &name, &why));
            }
            Err(layer::Error::Io(source)) => return Err(io(source)),
        }
        // A name promises that all of it is there, after a crash of the machine too.
        into.sync_file_system().map_err(io)
    }

    /// See [`super::Images::collect`].
    pub(super) fn collect(&self, disk_is_full: bool) -> io::Result<usize> {
        let mut collected = 0;
        for name in names(&self.directory.snapshots())? {
            let Some(chain) = name.to_str() else { continue };
            let path = self.path(chain);
            if !disk_is_full && !is_long_unused(&path)? {
                continue;
            }
            let aside = self.directory.new_temporary();
            {
                // Nobody can begin to use it while it gets out of sight.
                let pins = lock(&self.pins);
                if pins.contains_key(chain) {
                    continue;
                }
                fs::rename(&path, &aside)?;
            }
            crate::beneath::remove_at(&aside)?;
            collected += 1;
        }
        Ok(collected)
    }
}

fn is_long_unused(path: &Path) -> io::Result<bool> {
    let used = fs::metadata(path)?.modified()?;
    Ok(SystemTime::now().duration_since(used).is_ok_and(|age| age > KEPT_UNUSED))
}

/// The time of a snapshot's root directory is that of its last use: the overlay shows that of the
/// upper layer.
fn touch(path: &Path) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    match utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(()) | Err(Errno::ROFS) => Ok(()),
        Err(err) => Err(err.into()),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}
