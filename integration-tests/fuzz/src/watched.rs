//! What is left of a process that died or hangs: the input that it had at hand.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError, Sender},
    },
    time::Duration,
};

use fuzz::{Input, Target};

/// An input that takes so long hangs: the process ends itself.
const HANGS_AFTER: Duration = Duration::from_mins(1);

/// The folder of a target beside the build.
pub(crate) fn state(target: &Target) -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let build = program.ancestors().nth(2).unwrap_or(&program);
    let folder = build.join("fuzz").join(target.name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The input that the last process had at hand.
pub(crate) fn last(target: &Target) -> io::Result<Input> {
    let bytes = fs::read(state(target)?.join("running"))?;
    let (len, rest) = bytes.split_at(8.min(bytes.len()));
    let len = len.try_into().map_or(0, u64::from_le_bytes) as usize;
    Ok(Input::of_file(
        &rest[..len.min(rest.len())],
        target.has_head(),
    ))
}

/// Writes down every input before it is run, and ends a process that hangs.
pub(crate) struct Watched {
    file: File,
    has_head: bool,
    begun: Arc<AtomicU64>,
    /// The watch ends with this.
    _alive: Sender<()>,
}

impl Watched {
    pub(crate) fn new(target: &Target) -> io::Result<Self> {
        let begun = Arc::new(AtomicU64::new(0));
        let (alive, gone) = mpsc::channel::<()>();
        let seen = Arc::clone(&begun);
        std::thread::spawn(move || {
            let mut last = 0;
            while gone.recv_timeout(HANGS_AFTER) == Err(RecvTimeoutError::Timeout) {
                let now = seen.load(Ordering::Relaxed);
                if now == last && now > 0 {
                    // The parent finds the input and tells of it.
                    std::process::abort();
                }
                last = now;
            }
        });
        Ok(Self {
            file: File::create(state(target)?.join("running"))?,
            has_head: target.has_head(),
            begun,
            _alive: alive,
        })
    }

    pub(crate) fn begins(&mut self, input: &Input) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let bytes = input.to_file(self.has_head);
        let len = (bytes.len() as u64).to_le_bytes();
        // Without the file the search goes on, and only a death stays unexplained.
        self.file.write_all_at(&[&len, &bytes[..]].concat(), 0).ok();
    }
}
