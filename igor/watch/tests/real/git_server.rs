//! A real git server over HTTP: `git http-backend` behind the server of the tests, and a clone to push from.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tempfile::TempDir;

use crate::{
    program, run,
    server::{Reply, Request, Server},
    skipped,
};

/// How the server behaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manners {
    /// `user:password`.
    pub(crate) login: Option<&'static str>,
    /// It does not know `Git-Protocol`.
    pub(crate) old: bool,
    /// What it makes of `Git-Protocol`, if not what was sent.
    pub(crate) protocol: Option<&'static str>,
    /// Of the repository.
    pub(crate) object_format: Option<&'static str>,
}

pub(crate) struct GitServer {
    pub(crate) server: Server,
    git: PathBuf,
    dir: TempDir,
    /// Answers nothing but 500 while it is set.
    pub(crate) broken: Arc<AtomicBool>,
}

impl GitServer {
    /// A server with the empty repository `shop/cart.git`; `None` when there is no git.
    pub(crate) async fn start(manners: Manners) -> Option<Self> {
        let git = program("git")?;
        let path = run(Command::new(&git).arg("--exec-path"));
        let path = PathBuf::from(String::from_utf8(path).expect("a path").trim());
        let backend = path.join("git-http-backend");
        if !backend.is_file() {
            skipped("there is no git http-backend");
            return None;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("served");
        std::fs::create_dir_all(root.join("shop")).expect("a directory");
        let broken = Arc::new(AtomicBool::new(false));
        let format = manners.object_format.unwrap_or("sha1");
        let is_broken = broken.clone();
        let server = Server::start(move |request| {
            if is_broken.load(Ordering::SeqCst) {
                return Reply::new(500, "the disk is full");
            }
            serve(request, &backend, &root, &manners)
        });
        let server = Self {
            server: server.await,
            git,
            dir,
            broken,
        };
        let format = format!("--object-format={format}");
        let bare = server.bare();
        let bare = bare.to_str().expect("a path");
        let work = server.work();
        let work = work.to_str().expect("a path");
        server.git_in(&["init", "-q", "--bare", "-b", "main", &format, bare], None);
        server.git_in(&["init", "-q", "-b", "main", &format, work], None);
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/shop/cart.git", self.server.port)
    }

    fn bare(&self) -> PathBuf {
        self.dir.path().join("served/shop/cart.git")
    }

    fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Makes a commit on the branch that is checked out, and gives its id.
    #[track_caller]
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    #[track_caller]
    pub(crate) fn push(&self, what: &[&str]) {
        let bare = self.bare();
        let bare = bare.to_str().expect("a path");
        self.git(&[&["push", "-q", bare], what].concat());
    }

    /// Runs git in the clone.
    #[track_caller]
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        self.git_in(arguments, Some(&self.work()))
    }

    #[track_caller]
    fn git_in(&self, arguments: &[&str], dir: Option<&Path>) -> String {
        let mut command = Command::new(&self.git);
        command
            .args(arguments)
            .current_dir(dir.unwrap_or(self.dir.path()))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "Ana")))
            .envs(
                ["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "ana@acme.example")),
            );
        let printed = run(&mut command);
        String::from_utf8(printed).expect("text").trim().to_owned()
    }
}

/// What a web server does for `git http-backend`, by RFC 3875.
fn serve(request: &Request, backend: &Path, root: &Path, manners: &Manners) -> Reply {
    if let Some(login) = manners.login {
        let expected = format!("Basic {}", STANDARD.encode(login));
        if request.header("authorization") != expected {
            return Reply::new(401, "log in\n").with("www-authenticate", "Basic realm=\"git\"");
        }
    }
    // As GitLab does for repositories without `.git`.
    if let Some(rest) = request.path.strip_prefix("/shop/cart/") {
        let to = format!("/shop/cart.git/{rest}?{}", request.query);
        return Reply::new(301, "").with("location", to);
    }
    let mut command = Command::new(backend);
    command
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", &request.path)
        .env("QUERY_STRING", &request.query)
        .env("CONTENT_TYPE", request.header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env_remove("GIT_PROTOCOL")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if !manners.old {
        let protocol = manners.protocol.unwrap_or(request.header("git-protocol"));
        command.env("GIT_PROTOCOL", protocol);
    }
    let mut child = command.spawn().expect("it can be started");
    let mut input = child.stdin.take().expect("it is piped");
    // It may end without having read all.
    input.write_all(&request.body).ok();
    drop(input);
    let printed = child.wait_with_output().expect("it ends").stdout;
    let end = printed
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("headers end");
    let head = String::from_utf8_lossy(&printed[..end]).into_owned();
    let mut reply = Reply::new(200, &printed[end + 4..]);
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        match name.to_ascii_lowercase().as_str() {
            "status" => reply.status = value[..3].parse().expect("a status"),
            "content-length" => {}
            _ => reply.headers.push((name.to_owned(), value.to_owned())),
        }
    }
    reply
}
