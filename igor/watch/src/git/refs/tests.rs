use proptest::prelude::*;

use super::*;

const A: &str = "afbafbf955269715f29409210fa579e83116f26f";
const B: &str = "d1eebecc526e24bc8b723e9456aa1f34d2f0aed2";

fn message(lines: &[&str]) -> Vec<u8> {
    let lines: String = lines.iter().map(|text| pkt::line(text)).collect();
    (lines + FLUSH).into_bytes()
}

fn refs(head: Option<&str>, commits: &[(&str, &str)]) -> Refs {
    Refs {
        head: head.map(str::to_owned),
        commits: commits
            .iter()
            .map(|(n, c)| ((*n).to_owned(), (*c).to_owned()))
            .collect(),
    }
}

#[test]
fn versions_0_and_1_tell_all_at_once() {
    let lines = [
        format!("{A} HEAD\0multi_ack symref=HEAD:refs/heads/main agent=git/2"),
        format!("{A} refs/heads/main"),
        format!("{A} refs/pull/1/head"),
        format!("{B} refs/tags/v1"),
        format!("{A} refs/tags/v1^{{}}"),
        format!("shallow {B}"),
    ];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let expected = refs(
        Some("refs/heads/main"),
        &[("refs/heads/main", A), ("refs/tags/v1", A)],
    );
    let service = pkt::line("# service=git-upload-pack") + FLUSH;
    let with_service = [service.into_bytes(), message(&lines)].concat();
    let version_1 = [pkt::line("version 1").into_bytes(), message(&lines)].concat();
    for body in [message(&lines), with_service, version_1] {
        assert_eq!(advertised(&body), Ok(Advertised::Refs(expected.clone())));
    }
}

#[test]
fn an_empty_repository_has_no_refs() {
    let none = format!("{} capabilities^{{}}\0agent=git/2", "0".repeat(40));
    for body in [message(&[&none]), message(&[])] {
        assert_eq!(advertised(&body), Ok(Advertised::Refs(Refs::default())));
    }
    assert_eq!(listed(&message(&[])), Ok(Refs::default()));
    assert_eq!(
        listed(&message(&["unborn HEAD symref-target:refs/heads/main"])),
        Ok(Refs::default())
    );
}

#[test]
fn version_2_is_asked() {
    let body = message(&[
        "version 2",
        "agent=git/2",
        "ls-refs=unborn",
        "object-format=sha256",
    ]);
    let object_format = Some("sha256".to_owned());
    assert_eq!(
        advertised(&body),
        Ok(Advertised::Capabilities { object_format })
    );
    assert!(advertised(&message(&["version 2", "fetch"])).is_err());

    let prefixes = ["HEAD".to_owned(), "refs/tags/".to_owned()];
    assert_eq!(
        question(Some("sha256"), &prefixes),
        "0014command=ls-refs\n0019object-format=sha256\n00010009peel\n000csymrefs\n0014ref-prefix HEAD\n\
         001aref-prefix refs/tags/\n0000"
    );

    let answer = message(&[
        &format!("{A} HEAD symref-target:refs/heads/main"),
        &format!("{A} refs/heads/main"),
        &format!("{B} refs/tags/v1 peeled:{A}"),
        &format!("{B} refs/heads/odd symref-target:refs/heads/x peeled:nonsense"),
    ]);
    let expected = refs(
        Some("refs/heads/main"),
        &[
            ("refs/heads/main", A),
            ("refs/heads/odd", B),
            ("refs/tags/v1", A),
        ],
    );
    assert_eq!(listed(&answer), Ok(expected));
}

#[test]
fn errors_and_cut_answers_are_told() {
    let refused = listed(&message(&["ERR access denied\n or not exported"]));
    assert_eq!(refused, Err("access denied or not exported".to_owned()));
    assert!(advertised(&message(&["ERR nope"])).is_err());
    let whole = message(&[&format!("{A} refs/heads/main")]);
    for end in 0..whole.len() {
        assert!(listed(&whole[..end]).is_err(), "{end}");
        assert!(advertised(&whole[..end]).is_err(), "{end}");
    }
    for body in [&b"<!DOCTYPE html>"[..], b"", b"0008\xff\xff\xff\xff0000"] {
        assert!(
            advertised(body).is_err() && listed(body).is_err(),
            "{body:?}"
        );
    }
    assert!(listed(&message(&["0000 refs/heads/main"])).is_err());
}

#[test]
fn names_that_are_no_text_are_left_out() {
    let mut body = format!("0038{A} refs/tags/").into_bytes();
    body.extend(b"\xff");
    let body = [body, message(&[])].concat();
    assert_eq!(listed(&body), Ok(Refs::default()));
}

fn anything_like_a_line() -> impl Strategy<Value = Vec<u8>> {
    let words = prop_oneof![
        Just(A.as_bytes().to_vec()),
        Just(b" ".to_vec()),
        Just(b"\0".to_vec()),
        Just(b"refs/heads/".to_vec()),
        Just(b"refs/tags/v^{}".to_vec()),
        Just(b"HEAD".to_vec()),
        Just(b"symref=HEAD:".to_vec()),
        Just(b" peeled:".to_vec()),
        Just(b"ERR ".to_vec()),
        Just(b"shallow ".to_vec()),
        Just(b"version 2".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(words, 0..6).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = (advertised(&body).is_ok(), listed(&body).is_ok());
    }

    #[test]
    fn any_lines_are_survived(lines in proptest::collection::vec(anything_like_a_line(), 0..6)) {
        let mut body = Vec::new();
        for line in lines {
            body.extend(format!("{:04x}", line.len() + 4).into_bytes());
            body.extend(line);
        }
        body.extend(FLUSH.as_bytes());
        if let Ok(Advertised::Refs(refs)) = advertised(&body) {
            prop_assert!(refs.commits.values().all(|commit| is_object(commit.as_bytes())));
        }
        if let Ok(refs) = listed(&body) {
            prop_assert!(refs.commits.keys().all(|name| name.starts_with("refs/")));
        }
    }
}
