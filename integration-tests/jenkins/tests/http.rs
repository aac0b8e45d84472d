//! What the double answers over HTTP, as a client that knows nothing of it sees it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jenkins_double::{
    Endpoint, Fault, Force, Jenkins, Job, Kind, Options, Parameter, Phase, Rule, Script, User,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

struct Browser {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    user: &'static str,
}

impl Browser {
    fn new(jenkins: &Jenkins, user: &'static str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            client,
            base: jenkins.url().to_owned(),
            user,
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        more: &[(&str, &str)],
        body: &str,
    ) -> Option<Answer> {
        let user = base64::engine::general_purpose::STANDARD.encode(self.user);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        request = request.header("Authorization", format!("Basic {user}"));
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let response = self.client.request(request).await.ok()?;
        let (parts, body) = response.into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        Some(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8_lossy(&text).into_owned(),
        })
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await.unwrap()
    }

    async fn post(&self, path: &str) -> Answer {
        self.send(Method::POST, path, &[], "").await.unwrap()
    }
}

const TOKEN: &str = "igor:11aa22bb";
const PASSWORD: &str = "igor:secret";

async fn jenkins() -> Jenkins {
    let jenkins = Jenkins::start(Options::default()).await.unwrap();
    jenkins.add_job("plain", Job::pipeline());
    jenkins
}

#[tokio::test]
async fn triggers_are_answered_as_jenkins_does() {
    let jenkins = jenkins().await;
    let parameters = [
        Parameter::text("A", "1"),
        Parameter::choice("C", &["x", "y"]),
    ];
    jenkins.add_job("declared", Job::pipeline().with_parameters(&parameters));
    jenkins.add_job(
        "disabled",
        Job {
            disabled: true,
            ..Job::pipeline()
        },
    );
    jenkins.add_job(
        "vetoed",
        Job {
            vetoed: true,
            ..Job::pipeline()
        },
    );
    jenkins.add_job(
        "hidden",
        Job {
            hidden: true,
            ..Job::pipeline()
        },
    );
    let browser = Browser::new(&jenkins, TOKEN);
    let first = browser.post("job/plain/build").await;
    let second = browser.post("job/plain/build").await;
    assert_eq!((first.status, second.status), (201, 303));
    assert_eq!(first.header("location"), second.header("location"));
    assert!(
        first
            .header("location")
            .starts_with(&format!("{}queue/item/", jenkins.url()))
    );
    for (path, status) in [
        ("job/declared/build", 400),
        (
            "job/declared/buildWithParameters?A=2&NOPE=3&delay=0sec",
            201,
        ),
        ("job/declared/buildWithParameters?C=z", 500),
        ("job/plain/buildWithParameters", 500),
        ("job/disabled/build", 409),
        ("job/vetoed/build", 302),
        ("job/hidden/build", 404),
        ("job/none/build", 404),
    ] {
        let answer = browser.post(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(status < 400 || answer.text.starts_with("<html>"), "{path}");
    }
    let wrong = browser.get("job/plain/build").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "POST"));
    let built = &jenkins.builds("declared")[0].parameters;
    assert_eq!(
        (built["A"].as_str(), built["C"].as_str(), built.len()),
        ("2", "x", 2)
    );
}

#[tokio::test]
async fn a_delay_is_in_seconds_only_with_its_unit() {
    for (delay, starts) in [
        ("0sec", true),
        ("5", true),
        ("5sec", false),
        ("5secs", false),
        ("5000", false),
    ] {
        let jenkins = jenkins().await;
        Browser::new(&jenkins, TOKEN)
            .post(&format!("job/plain/build?delay={delay}"))
            .await;
        assert_eq!(
            jenkins.builds("plain").len(),
            usize::from(starts),
            "{delay}"
        );
        jenkins.advance(5_000);
        assert_eq!(jenkins.builds("plain").len(), 1, "{delay}");
    }
}

#[tokio::test]
async fn a_crumb_is_worth_something_only_in_its_session() {
    let jenkins = jenkins().await;
    let browser = Browser::new(&jenkins, PASSWORD);
    let refused = browser.post("job/plain/build").await;
    assert_eq!(refused.status, 403);
    assert!(refused.text.contains("No valid crumb"));
    let issued = browser.get("crumbIssuer/api/json").await;
    let crumb = issued.json()["crumb"].as_str().unwrap().to_owned();
    let cookie = issued
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let run = issued.header("x-jenkins-session").to_owned();
    let with = |crumb: String, cookie: String| {
        let browser = &browser;
        async move {
            let headers = [
                ("Jenkins-Crumb", crumb.as_str()),
                ("Cookie", cookie.as_str()),
            ];
            browser
                .send(Method::POST, "job/plain/build", &headers, "")
                .await
                .unwrap()
                .status
        }
    };
    assert_eq!(with(crumb.clone(), String::new()).await, 403);
    assert_eq!(with("nonsense".to_owned(), cookie.clone()).await, 403);
    assert_eq!(with(crumb.clone(), cookie.clone()).await, 201);
    jenkins.restart(60_000);
    assert_eq!(browser.get("api/json").await.status, 503);
    jenkins.advance(60_000);
    assert_eq!(with(crumb, cookie).await, 403);
    assert_ne!(
        browser.get("api/json").await.header("x-jenkins-session"),
        run
    );
    assert_eq!(
        Browser::new(&jenkins, TOKEN)
            .post("job/plain/build")
            .await
            .status,
        201
    );
    assert_eq!(
        Browser::new(&jenkins, "igor:no")
            .get("api/json")
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn who_may_only_look_may_not_build() {
    let mut options = Options::default();
    options.users.push(User {
        name: "guest".to_owned(),
        password: "p".to_owned(),
        token: "t".to_owned(),
        read_only: true,
    });
    let jenkins = Jenkins::start(options).await.unwrap();
    jenkins.add_job("plain", Job::pipeline());
    let guest = Browser::new(&jenkins, "guest:t");
    assert_eq!(guest.get("job/plain/api/json").await.status, 200);
    assert_eq!(guest.post("job/plain/build").await.status, 403);
}

#[tokio::test]
async fn items_can_be_cancelled_while_they_are_queued() {
    let jenkins = jenkins().await;
    let browser = Browser::new(&jenkins, TOKEN);
    let item = |answer: &Answer| {
        answer
            .header("location")
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned()
    };
    let id = item(&browser.post("job/plain/build").await);
    let path = format!("queue/item/{id}/api/json");
    let waiting = browser.get(&path).await.json();
    assert!(
        waiting["why"]
            .as_str()
            .unwrap()
            .starts_with("In the quiet period")
    );
    let cancel = format!("queue/cancelItem?id={id}");
    assert_eq!(browser.post(&cancel).await.status, 204);
    let left = browser.get(&path).await.json();
    assert_eq!(
        (&left["cancelled"], &left["executable"]),
        (&Value::Bool(true), &Value::Null)
    );
    let again = browser.post(&cancel).await.status;
    assert_eq!(again, 500, "it left the queue a moment ago");
    jenkins.advance(300_000);
    assert_eq!(browser.post(&cancel).await.status, 404);
    jenkins.with(|s| s.uncancellable = true);
    let id = item(&browser.post("job/plain/build").await);
    assert_eq!(
        browser
            .post(&format!("queue/cancelItem?id={id}"))
            .await
            .status,
        422
    );
    jenkins.advance(5_000);
    assert_eq!(
        browser
            .get(&format!("queue/item/{id}/api/json"))
            .await
            .json()["executable"]["number"],
        1
    );
    jenkins.advance(300_000);
    assert_eq!(
        browser
            .get(&format!("queue/item/{id}/api/json"))
            .await
            .status,
        404
    );
    assert_eq!(
        browser
            .get("job/plain/api/json?tree=builds[queueId]%7B0,1%7D")
            .await
            .json()["builds"][0]["queueId"]
            .to_string(),
        id
    );
}

#[tokio::test]
async fn a_build_shows_its_log_its_files_and_its_end() {
    let jenkins = jenkins().await;
    let script = Script {
        console: "0123456789".repeat(10),
        artifacts: [("out/a b.txt".to_owned(), b"hello".to_vec())].into(),
        tests: Some(jenkins_double::Tests {
            total: 3,
            failed: 1,
            skipped: 0,
        }),
        stopped_by: Force::Term,
        ..Script::default()
    };
    jenkins.add_job("team/app", Job::folder(Kind::Multibranch));
    jenkins.add_job("team/app/feature%2Fx", Job::pipeline().with_script(script));
    let browser = Browser::new(&jenkins, TOKEN);
    let job = "job/team/job/app/job/feature%252Fx";
    browser.post(&format!("{job}/build?delay=0sec")).await;
    jenkins.advance(30_000);
    let log = |start: i64| format!("{job}/1/logText/progressiveText?start={start}");
    let page = browser.get(&log(40)).await;
    assert_eq!(
        (
            page.text.len(),
            page.header("x-text-size"),
            page.header("x-more-data")
        ),
        (10, "50", "true")
    );
    assert_eq!(browser.get(&log(-5)).await.text, "56789");
    assert_eq!(
        browser
            .get(&format!("{job}/1/testReport/api/json"))
            .await
            .status,
        404
    );
    assert_eq!(browser.post(&format!("{job}/1/stop")).await.status, 302);
    let state = format!("{job}/1/api/json?tree=building,result,inProgress");
    assert_eq!(browser.get(&state).await.json()["building"], true);
    jenkins.advance(30_000);
    let ended = browser.get(&state).await.json();
    assert_eq!(
        (&ended["building"], &ended["result"], &ended["inProgress"]),
        (&Value::Bool(false), &"SUCCESS".into(), &Value::Bool(true))
    );
    assert!(ended.get("number").is_none());
    assert_eq!(
        browser
            .get(&format!("{job}/1/artifact/out/a%20b.txt"))
            .await
            .text,
        "hello"
    );
    assert_eq!(
        browser
            .get(&format!("{job}/1/testReport/api/json"))
            .await
            .json()["passCount"],
        2
    );
    jenkins.advance(2_000);
    let page = browser.get(&log(0)).await;
    assert_eq!((page.text.len(), page.header("x-more-data")), (100, ""));
}

#[tokio::test]
async fn faults_happen_as_often_as_they_are_set() {
    let jenkins = jenkins().await;
    let browser = Browser::new(&jenkins, TOKEN);
    let rule = |fault| Rule {
        matching: "POST /job".to_owned(),
        times: 1,
        fault,
    };
    jenkins.set_faults(vec![rule(Fault::DropRequest)]);
    assert!(
        browser
            .send(Method::POST, "job/plain/build", &[], "")
            .await
            .is_none()
    );
    jenkins.with(|s| assert!(s.items.is_empty()));
    jenkins.set_faults(vec![rule(Fault::DropReply)]);
    assert!(
        browser
            .send(Method::POST, "job/plain/build", &[], "")
            .await
            .is_none()
    );
    jenkins.with(|s| assert_eq!(s.items.len(), 1));
    let rules = r#"[{"matching": "GET", "times": 1, "fault": {"kind": "status", "status": 502}}]"#;
    let set = browser
        .send(Method::POST, "double/faults", &[], rules)
        .await
        .unwrap();
    assert_eq!(set.status, 204);
    assert_eq!(browser.get("api/json").await.status, 502);
    assert_eq!(browser.get("api/json").await.status, 200);
    let moved = browser.post("double/advance?ms=5000").await.json();
    assert_eq!(moved["now"], jenkins_double::state::START_MS + 5_000);
    assert_eq!(jenkins.builds("plain").len(), 1);
    assert_eq!(
        browser.get("double/stats").await.json()["simultaneousMax"],
        1
    );
}

#[tokio::test]
async fn an_effect_comes_late_also_when_nobody_waits_for_it() {
    let jenkins = jenkins().await;
    let browser = Browser::new(&jenkins, TOKEN);
    jenkins.set_faults(vec![Rule {
        matching: "POST /job".to_owned(),
        times: 1,
        fault: Fault::Late { ms: 200 },
    }]);
    let asked = browser.post("job/plain/build");
    let waited = tokio::time::timeout(std::time::Duration::from_millis(50), asked);
    assert!(waited.await.is_err());
    jenkins.with(|s| assert!(s.items.is_empty()));
    while jenkins.with(|s| s.items.is_empty()) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn while_it_is_away_nobody_listens() {
    let jenkins = jenkins().await;
    let browser = Browser::new(&jenkins, TOKEN);
    assert_eq!(
        browser.get("job/plain").await.header("location"),
        "/job/plain/"
    );
    jenkins.set_away(true);
    let refused = async || {
        let asked = browser.send(Method::GET, "api/json", &[], "").await;
        asked.is_none()
    };
    assert!(refused().await && refused().await);
    jenkins.set_away(false);
    while refused().await {
        tokio::task::yield_now().await;
    }
}

/// Reads one request and answers it with 500, which the sender does not look at.
async fn received(listener: &TcpListener) -> (String, Value) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).await.unwrap();
        bytes.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            let answer = "HTTP/1.1 500 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            return (head.to_ascii_lowercase(), body);
        }
    }
}

#[tokio::test]
async fn notifications_are_told_phase_by_phase() {
    for (duplicates, phases) in [(false, vec![]), (true, vec![Phase::Finalized])] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://hook:p%40ss@{}/in", listener.local_addr().unwrap());
        let endpoint = Endpoint {
            url: url.parse().unwrap(),
            phases,
            duplicates,
        };
        let options = Options {
            notify: vec![endpoint],
            ..Options::default()
        };
        let jenkins = Jenkins::start(options).await.unwrap();
        jenkins.add_job("shop/app", Job::pipeline());
        Browser::new(&jenkins, TOKEN)
            .post("job/shop/job/app/build")
            .await;
        jenkins.advance(70_000);
        let mut seen = Vec::new();
        for _ in 0..if duplicates { 2 } else { 4 } {
            let (head, body) = received(&listener).await;
            let pair = base64::engine::general_purpose::STANDARD
                .encode("hook:p@ss")
                .to_ascii_lowercase();
            assert!(
                head.contains(&format!("authorization: basic {pair}")),
                "{head}"
            );
            assert_eq!(
                (&body["name"], &body["url"]),
                (&"app".into(), &"job/shop/job/app/".into())
            );
            seen.push((
                body["build"]["phase"].as_str().unwrap().to_owned(),
                body["build"]["timestamp"].as_u64().unwrap() - jenkins_double::state::START_MS,
            ));
        }
        let wanted: &[(&str, u64)] = if duplicates {
            &[("FINALIZED", 67_000), ("FINALIZED", 67_000)]
        } else {
            &[
                ("QUEUED", 0),
                ("STARTED", 5_000),
                ("COMPLETED", 65_000),
                ("FINALIZED", 67_000),
            ]
        };
        let seen: Vec<_> = seen
            .iter()
            .map(|(phase, at)| (phase.as_str(), *at))
            .collect();
        assert_eq!(seen, wanted);
    }
}
