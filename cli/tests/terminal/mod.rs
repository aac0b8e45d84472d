//! The demo on a terminal, with a person who answers, mistypes, or loses patience.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    path::Path,
    process::Child,
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::fake_gate::FakeGate;
use crate::suite::{Guarded, command, nothing_left, signal};

const QUESTION: &str = "[Y/n] ";
/// What any step of the demo may take on a busy machine.
const STEP_MAX: Duration = Duration::from_mins(1);
/// A demo that was asked to stop is gone by then.
const STOP_MAX: Duration = Duration::from_secs(15);

/// A program on a terminal of its own.
struct Terminal {
    child: Guarded,
    keys: File,
    screen: Receiver<Vec<u8>>,
    /// All that was shown.
    shown: String,
    /// Up to here it was looked at.
    looked: usize,
}

impl Terminal {
    fn start(temporary: &Path, arguments: &[&str]) -> Self {
        Self::start_at(100, temporary, arguments)
    }

    fn start_at(columns: u16, temporary: &Path, arguments: &[&str]) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let size = Winsize {
            ws_row: 40,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&ours, size).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let theirs = File::options().read(true).write(true).open(name).unwrap();
        let child: Child = command(temporary, arguments)
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .stdin(theirs.try_clone().unwrap())
            .stdout(theirs.try_clone().unwrap())
            .stderr(theirs)
            .spawn()
            .unwrap();
        Self {
            child: Guarded(child),
            keys: File::from(ours.try_clone().unwrap()),
            screen: watch(ours),
            shown: String::new(),
            looked: 0,
        }
    }

    /// Waits until this is shown, behind what was waited for before.
    fn expect(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            if let Some(at) = self.shown[self.looked..].find(text) {
                self.looked += at + text.len();
                return;
            }
            let left = STEP_MAX.saturating_sub(start.elapsed());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("{text:?} does not come ({error}): {}", self.shown),
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Exit status, and all that was shown.
    fn end(mut self, within: Duration) -> (Option<i32>, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.0.try_wait().unwrap() {
                break status.code();
            }
            assert!(start.elapsed() < within, "still running: {}", self.shown);
            std::thread::park_timeout(Duration::from_millis(10));
        };
        while let Ok(bytes) = self.screen.recv_timeout(Duration::from_millis(200)) {
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        (status, self.shown)
    }
}

fn watch(terminal: OwnedFd) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut terminal = File::from(terminal);
        let mut buffer = [0; 4096];
        // A terminal that nobody has open any more reads as an error.
        while let Ok(count @ 1..) = terminal.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

#[test]
fn a_person_answers_and_a_mistyped_answer_is_asked_again() {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Terminal::start(
        temporary.path(),
        &["demo", "--ephemeral", "--gate-port", "0"],
    );
    for answer in ["yep\n", "y\n", "\n", "yes\n"] {
        demo.expect(QUESTION);
        demo.press(answer);
    }
    demo.expect("all as it has to be");
    let (status, shown) = demo.end(STEP_MAX);
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("\"yep\" is neither yes nor no"), "{shown}");
    assert!(
        shown.contains("\u{1b}[32mSUCCEEDED"),
        "there are no colours: {shown}"
    );
    nothing_left(temporary.path());
}

#[test]
fn a_no_keeps_production_free_and_is_told_as_such() {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Terminal::start(
        temporary.path(),
        &["demo", "--ephemeral", "--gate-port", "0"],
    );
    for answer in ["n\n", "y\n", "y\n"] {
        demo.expect(QUESTION);
        demo.press(answer);
    }
    let (status, shown) = demo.end(STEP_MAX);
    assert_eq!(status, Some(1), "{shown}");
    assert!(
        shown.contains("you kept version 1 from production"),
        "{shown}"
    );
    nothing_left(temporary.path());
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing_and_lets_the_next_one_start() {
    let temporary = tempfile::tempdir().unwrap();
    let arguments = ["demo", "--data-dir"];
    let data = temporary.path().join("data");
    let arguments = [
        &arguments[..],
        &[data.to_str().unwrap(), "--gate-port", "0"],
    ]
    .concat();
    for (name, until) in [("INT", QUESTION), ("HUP", "Deploy to test")] {
        let mut demo = Terminal::start(temporary.path(), &arguments);
        demo.expect(until);
        signal(&demo.child, name);
        let (status, shown) = demo.end(STOP_MAX);
        assert_eq!(status, Some(130), "{name}: {shown}");
        nothing_left(temporary.path());
    }
}

#[test]
fn the_reason_of_a_failure_is_whole_on_a_narrow_terminal() {
    let temporary = tempfile::tempdir().unwrap();
    let gate = FakeGate::start();
    let arguments = ["execution", "watch", "BAD", "--gate", gate.url()];
    let watch = Terminal::start_at(20, temporary.path(), &arguments);
    let (status, shown) = watch.end(STEP_MAX);
    assert_eq!(status, Some(1), "{shown}");
    let words: Vec<&str> = shown.split_whitespace().collect();
    assert!(
        words.join(" ").contains("the health check failed"),
        "{shown}"
    );
}
