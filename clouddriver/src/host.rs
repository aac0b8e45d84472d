//! One clouddriver at a time works with the processes of a machine. Others on the same directory stand
//! by; the kernel gives the directory to one of them in the moment in which the first is gone, however
//! it went.

use std::{fs::File, io};

use camino::Utf8Path;
use tokio::sync::oneshot;

/// The file that is locked.
const LOCK: &str = "clouddriver.lock";

/// The machine's processes are ours while this lives.
pub(crate) struct Turn(#[expect(dead_code, reason = "it is held, not read")] File);

/// Takes the directory if it is free.
pub(crate) fn try_take(dir: &Utf8Path) -> io::Result<Option<Turn>> {
    let file = open(dir)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Turn(file))),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Waits for the directory. Dropped, it leaves a thread behind that waits on and lets go at once.
pub(crate) async fn wait(dir: &Utf8Path) -> io::Result<Turn> {
    let file = open(dir)?;
    let (sender, taken) = oneshot::channel();
    std::thread::Builder::new()
        .name("clouddriver-turn".to_owned())
        .spawn(move || {
            let locked = file.lock().map(|()| Turn(file));
            // Nobody waits any more: the lock goes with the value.
            sender.send(locked).ok();
        })?;
    taken
        .await
        .unwrap_or_else(|_| Err(io::Error::other("the waiting thread ended")))
}

fn open(dir: &Utf8Path) -> io::Result<File> {
    std::fs::create_dir_all(dir)?;
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join(LOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_next_one_has_its_turn_when_the_first_is_gone() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temp.path()).unwrap();
        let first = try_take(dir).unwrap().unwrap();
        assert!(try_take(dir).unwrap().is_none());
        let second = wait(dir);
        tokio::pin!(second);
        let early = tokio::time::timeout(std::time::Duration::from_millis(50), &mut second).await;
        assert!(early.is_err());
        drop(first);
        second.await.unwrap();
    }
}
