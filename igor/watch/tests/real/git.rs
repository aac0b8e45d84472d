//! Repositories of a real git server are watched.

use std::sync::atomic::Ordering;

use igor_watch::{
    Cursor, Error, Polled, Warning,
    git::{Client, GitRepository, SourceType},
    poll_git,
};
use kork_model::{Timestamp, inbound::EventKind};

use crate::{
    git_server::{GitServer, Manners},
    server::{Reply, Server},
    told,
};

const NOW: Timestamp = Timestamp(1_790_000_000_000);

fn config(url: String) -> GitRepository {
    GitRepository {
        name: "cart".to_owned(),
        url,
        source: SourceType::Gitlab,
        ..GitRepository::default()
    }
}

fn client(config: &GitRepository) -> Client {
    let http = igor_watch::client().expect("a client");
    Client::new(http, config).expect("a fine configuration")
}

/// Polls, and keeps the cursor as whoever stores it would.
async fn poll(client: &Client, cursor: &mut Option<Cursor>) -> Polled {
    let polled = poll_git(client, cursor.as_ref(), NOW)
        .await
        .expect("it can be asked");
    let stored = serde_json::to_vec(&polled.cursor).expect("it can be stored");
    *cursor = serde_json::from_slice(&stored).expect("it can be read");
    polled
}

#[tokio::test]
async fn pushes_are_told_once() {
    let Some(git) = GitServer::start(Manners::default()).await else {
        return;
    };
    let watched = client(&config(git.url()));
    let mut cursor = None;
    // An empty repository is one to be watched.
    assert_eq!(told(&poll(&watched, &mut cursor).await), [""; 0]);
    let first = git.commit("first");
    git.push(&["main"]);
    let polled = poll(&watched, &mut cursor).await;
    assert_eq!(told(&polled), [format!("main@{first}")]);
    let event = &polled.events[0];
    let place = format!("127.0.0.1:{}/shop/cart", git.server.port);
    assert_eq!(event.id, format!("git:{place}:refs/heads/main:{first}"));
    assert_eq!(event.kind, EventKind::Git);
    assert_eq!(event.repository.as_deref(), Some("shop/cart"));
    assert_eq!(
        serde_json::Value::from(event.trigger.clone()),
        serde_json::json!({
            "source": "gitlab", "project": "shop", "slug": "cart", "hash": first, "branch": "main",
            "action": "push:push", "defaultBranch": "main",
        })
    );
    assert_eq!(told(&poll(&watched, &mut cursor).await), [""; 0]);

    // Several commits and refs between two looks; of an annotated tag the commit counts.
    git.commit("second");
    let third = git.commit("third");
    git.git(&["branch", "feature/grün"]);
    git.git(&["tag", "light"]);
    git.git(&["tag", "-a", "v1", "-m", "one", &first]);
    git.push(&["main", "feature/grün", "--tags"]);
    let mut found = told(&poll(&watched, &mut cursor).await);
    found.sort_unstable();
    let expected = [
        format!("feature/grün@{third}"),
        format!("light@{third}"),
        format!("main@{third}"),
        format!("v1@{first}"),
    ];
    assert_eq!(found, expected);
    assert_eq!(told(&poll(&watched, &mut cursor).await), [""; 0]);

    // History is rewritten.
    git.git(&["commit", "-q", "--amend", "--allow-empty", "-m", "instead"]);
    let instead = git.git(&["rev-parse", "HEAD"]);
    git.push(&["--force", "main"]);
    assert_eq!(
        told(&poll(&watched, &mut cursor).await),
        [format!("main@{instead}")]
    );

    // What is deleted is forgotten without a word, and is news when it comes again.
    git.push(&["--delete", "feature/grün", "v1"]);
    assert_eq!(told(&poll(&watched, &mut cursor).await), [""; 0]);
    git.push(&["v1"]);
    assert_eq!(
        told(&poll(&watched, &mut cursor).await),
        [format!("v1@{first}")]
    );
}

#[tokio::test]
async fn the_first_look_tells_nothing() {
    let Some(git) = GitServer::start(Manners::default()).await else {
        return;
    };
    git.commit("first");
    git.git(&["tag", "v1"]);
    git.push(&["main", "--tags"]);
    let polled = poll(&client(&config(git.url())), &mut None).await;
    assert_eq!(told(&polled), [""; 0]);
    assert_eq!(polled.cursor.known.len(), 2);
}

#[tokio::test]
async fn every_version_of_the_protocol_tells_the_same() {
    let version = |protocol| Manners {
        protocol: Some(protocol),
        ..Manners::default()
    };
    let old = Manners {
        old: true,
        ..Manners::default()
    };
    let sha256 = Manners {
        object_format: Some("sha256"),
        ..Manners::default()
    };
    let sha256_old = Manners {
        old: true,
        ..sha256.clone()
    };
    let all = [
        version("version=2"),
        version("version=1"),
        version("nonsense"),
        old,
        sha256,
        sha256_old,
    ];
    for manners in all {
        let Some(git) = GitServer::start(manners.clone()).await else {
            return;
        };
        let watched = client(&config(git.url()));
        assert_eq!(
            watched.refs().await.unwrap().commits.len(),
            0,
            "{manners:?}"
        );
        let commit = git.commit("first");
        git.git(&["tag", "-a", "v1", "-m", "one"]);
        git.git(&["tag", "-a", "v1-signed", "-m", "of a tag", "v1"]);
        git.push(&["main", "--tags", "main:refs/pull/1/head"]);
        git.server.requests();
        let listed = watched.refs().await.unwrap();
        assert_eq!(
            listed.default_branch.as_deref(),
            Some("main"),
            "{manners:?}"
        );
        let commits: Vec<_> = listed
            .commits
            .iter()
            .map(|(n, c)| (n.as_str(), c.as_str()))
            .collect();
        let expected = ["refs/heads/main", "refs/tags/v1", "refs/tags/v1-signed"]
            .map(|name| (name, commit.as_str()));
        assert_eq!(commits, expected, "{manners:?}");
        let methods: Vec<_> = git
            .server
            .requests()
            .iter()
            .map(|r| r.method.clone())
            .collect();
        let speaks_2 = !manners.old && !matches!(manners.protocol, Some("version=1" | "nonsense"));
        let expected = if speaks_2 {
            vec!["GET", "POST"]
        } else {
            vec!["GET"]
        };
        assert_eq!(methods, expected, "{manners:?}");
    }
}

#[tokio::test]
async fn patterns_say_what_is_watched() {
    let Some(git) = GitServer::start(Manners::default()).await else {
        return;
    };
    let commit = git.commit("first");
    git.push(&["main"]);
    let narrow = GitRepository {
        branches: Some("main|release/.*".to_owned()),
        tags: Some(r"v\d+".to_owned()),
        ..config(git.url())
    };
    let watched = client(&narrow);
    let mut cursor = None;
    poll(&watched, &mut cursor).await;
    git.git(&["tag", "v1"]);
    git.git(&["tag", "v1-rc"]);
    git.push(&["main:release/1", "main:other", "--tags"]);
    let mut found = told(&poll(&watched, &mut cursor).await);
    found.sort_unstable();
    assert_eq!(
        found,
        [format!("release/1@{commit}"), format!("v1@{commit}")]
    );

    // A wider pattern does not make news of what was there.
    let wide = GitRepository {
        tags: None,
        branches: None,
        ..narrow.clone()
    };
    git.git(&["tag", "v2"]);
    git.push(&["--tags"]);
    assert_eq!(
        told(&poll(&client(&wide), &mut cursor).await),
        [format!("v2@{commit}")]
    );

    let only = GitRepository {
        default_branch_only: true,
        ..narrow
    };
    let watched = client(&only);
    assert_eq!(told(&poll(&watched, &mut cursor).await), [""; 0]);
    let next = git.commit("second");
    git.push(&["main", "main:release/1"]);
    assert_eq!(
        told(&poll(&watched, &mut cursor).await),
        [format!("main@{next}")]
    );
}

#[tokio::test]
async fn of_too_much_the_newest_is_told_and_an_empty_answer_is_doubted() {
    let Some(git) = GitServer::start(Manners::default()).await else {
        return;
    };
    let commit = git.commit("first");
    git.push(&["main"]);
    let few = GitRepository {
        newest_max: 2,
        empty_polls_max: 2,
        tags: Some("v.*".to_owned()),
        branches: Some("none".to_owned()),
        ..config(git.url())
    };
    let watched = client(&few);
    let mut cursor = None;
    poll(&watched, &mut cursor).await;
    for tag in ["v1.2", "v1.9", "v1.10", "v1.11"] {
        git.git(&["tag", tag]);
    }
    git.push(&["--tags"]);
    let mut polled = poll(&watched, &mut cursor).await;
    assert_eq!(polled.warnings, [Warning::TooManyNew { new: 4, newest: 2 }]);
    polled.warnings.clear();
    assert_eq!(
        told(&polled),
        [format!("v1.10@{commit}"), format!("v1.11@{commit}")]
    );
    assert_eq!(told(&poll(&watched, &mut cursor).await), [""; 0]);

    git.push(&["--delete", "v1.2", "v1.9", "v1.10", "v1.11"]);
    let doubted = poll(&watched, &mut cursor).await;
    assert_eq!(doubted.warnings, [Warning::Empty { polls: 1, of: 2 }]);
    let believed = poll(&watched, &mut cursor).await;
    assert_eq!(believed.warnings, [Warning::Emptied { forgotten: 4 }]);
}

#[tokio::test]
async fn a_password_is_asked_for_and_may_change() {
    let login = Manners {
        login: Some("oauth2:s3cret"),
        ..Manners::default()
    };
    let Some(git) = GitServer::start(login).await else {
        return;
    };
    git.commit("first");
    git.push(&["main"]);
    let open = client(&config(git.url()));
    let refused = poll_git(&open, None, NOW).await;
    assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");

    // A token alone goes with the user name that this kind of server expects.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let with_file = GitRepository {
        password_file: Some(file.clone()),
        ..config(git.url())
    };
    let watched = client(&with_file);
    let missing = poll_git(&watched, None, NOW).await;
    assert!(
        matches!(missing, Err(Error::Password { .. })),
        "{missing:?}"
    );
    std::fs::write(&file, "old\n").unwrap();
    let refused = poll_git(&watched, None, NOW).await.unwrap_err();
    assert!(
        matches!(refused, Error::Denied { .. }) && !refused.is_passing(),
        "{refused}"
    );
    std::fs::write(&file, "s3cret\n").unwrap();
    let polled = poll_git(&watched, None, NOW).await.unwrap();
    assert_eq!(polled.cursor.known.len(), 1);
}

#[tokio::test]
async fn a_redirect_is_followed_but_takes_no_password_along() {
    let Some(git) = GitServer::start(Manners::default()).await else {
        return;
    };
    git.commit("first");
    git.push(&["main"]);
    let short = git.url().replace(".git", "");
    let with_password = |url| GitRepository {
        username: "ana".to_owned(),
        password: kork::service::config::Secret::new("s3cret"),
        ..config(url)
    };
    let listed = client(&with_password(short)).refs().await.unwrap();
    assert_eq!(listed.commits.len(), 1);
    let sent = git.server.requests();
    assert_eq!(
        sent.iter().map(|r| r.path.as_str()).collect::<Vec<_>>(),
        [
            "/shop/cart/info/refs",
            "/shop/cart.git/info/refs",
            "/shop/cart.git/git-upload-pack",
        ]
    );
    assert!(sent.iter().all(|r| !r.header("authorization").is_empty()));

    let to = git.url();
    let elsewhere = Server::start(move |request| {
        let to = format!("{to}/info/refs?{}", request.query);
        Reply::new(302, "").with("location", to)
    })
    .await;
    let url = format!("http://127.0.0.1:{}/shop/cart.git", elsewhere.port);
    let listed = client(&with_password(url)).refs().await.unwrap();
    assert_eq!(listed.commits.len(), 1);
    assert!(
        git.server
            .requests()
            .iter()
            .all(|r| r.header("authorization").is_empty())
    );
}

#[tokio::test]
async fn what_is_no_git_server_is_told() {
    let page = Server::start(|request| match request.path.as_str() {
        "/page/info/refs" => {
            Reply::new(200, "<html>log in</html>").with("content-type", "text/html")
        }
        "/patience/info/refs" => Reply::new(429, "").with("retry-after", "7"),
        "/cut/info/refs" => Reply::new(200, "001e# service=git-upload-pack\n0000").with(
            "content-type",
            "application/x-git-upload-pack-advertisement",
        ),
        "/loop/info/refs" => Reply::new(302, "").with("location", "/loop/info/refs"),
        "/away/info/refs" => Reply::new(302, "").with("location", "ftp://localhost/info/refs"),
        _ => Reply::new(404, "no such\r\n\u{1b}[31mrepository"),
    })
    .await;
    let at = |path: &str| format!("http://127.0.0.1:{}/{path}", page.port);
    for (path, expected) in [
        ("page", "text/html"),
        ("patience", "the next one in 7 s"),
        ("cut", "ends before its end"),
        ("loop", "more than 5 redirects"),
        ("away", "cannot be reached"),
        ("nothing", "is not there: no such [31mrepository"),
    ] {
        let error = poll_git(&client(&config(at(path))), None, NOW)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{path}: {error}");
    }
    let patience = poll_git(&client(&config(at("patience"))), None, NOW)
        .await
        .unwrap_err();
    assert_eq!(patience.retry_after_ms(), Some(7_000));

    let Some(git) = GitServer::start(Manners::default()).await else {
        return;
    };
    let missing = client(&config(git.url().replace("cart", "nothing")));
    let error = poll_git(&missing, None, NOW).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    git.broken.store(true, Ordering::SeqCst);
    let error = poll_git(&client(&config(git.url())), None, NOW)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Failed { status: 500, .. }) && error.is_passing(),
        "{error}"
    );
    assert!(error.to_string().contains("the disk is full"), "{error}");
    let away = format!("http://127.0.0.1:{}/shop/cart.git", closed_port().await);
    let error = poll_git(&client(&config(away)), None, NOW)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Unreachable { .. }) && error.is_passing(),
        "{error}"
    );
}

async fn closed_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    listener.local_addr().expect("an address").port()
}
