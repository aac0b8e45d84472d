//! The index agrees with whoever looks at all triggers of all pipelines.

use super::*;

/// Few words, so that many triggers match.
fn word() -> impl Strategy<Value = &'static str> {
    prop_oneof![9 => Just("a"), 4 => Just("b"), 1 => Just("A"), 1 => Just("a/b"), 1 => Just("")]
}

fn any_kind() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "jenkins",
        "concourse",
        "git",
        "docker",
        "helm",
        "helm/oci",
        "webhook",
        "pubsub",
        "cdevents",
        "nexus",
        "artifactory",
        "plugin",
        "cron",
        "manual",
    ])
}

fn any_trigger() -> impl Strategy<Value = Value> {
    let tag = prop::sample::select(vec!["", "", "", "", "", "1.0.0|b", "[", ".*"]);
    let version = prop::sample::select(vec!["", "^1", "2"]);
    let names = (word(), word(), word());
    let rest = (tag, version, 0..4u8, 0..6u8);
    (any_kind(), names, rest).prop_map(|(kind, (x, y, z), (tag, version, listed, on))| {
        json!({"type": kind, "enabled": on > 0, "master": x, "job": y, "source": x, "project": y, "slug": z, "branch": tag,
            "account": x, "registry": z, "repository": y, "tag": tag, "chart": y, "version": version, "pubsubSystem": x,
            "subscriptionName": y, "nexusSearchName": x, "artifactorySearchName": y, "pluginId": x,
            "payloadConstraints": if tag.is_empty() { json!({}) } else { json!({"k": tag}) },
            "expectedArtifactIds": if listed == 0 { json!(["1"]) } else { json!([]) }})
    })
}

/// An event as a trigger of a type wants it, but for one member.
fn any_event() -> impl Strategy<Value = InboundEvent> {
    let tag = prop::sample::select(vec!["1.0.0", "b", "latest", ""]);
    let changed = prop::sample::select(vec![
        "",
        "",
        "",
        "sender",
        "source",
        "job",
        "repository",
        "branch",
        "image",
        "result",
        "artifacts",
        "trigger",
        "payload",
    ]);
    let names = (word(), word(), word());
    (any_kind(), names, tag, changed, word()).prop_map(|(kind, (x, y, z), tag, changed, other)| {
        let of = match kind {
            "jenkins" | "concourse" => "build",
            "git" => "git",
            "docker" | "helm" | "helm/oci" => "image",
            "pubsub" => "pubsub",
            "cdevents" => "cdevents",
            "nexus" | "artifactory" => "artifact",
            _ => "webhook",
        };
        let mut more = json!({"master": x, "account": x, "registry": z, "repository": y, "pubsubSystem": x,
            "subscriptionName": y, "nexusSearchName": x, "artifactorySearchName": y, "pluginId": x});
        if kind.starts_with("helm") {
            more["chart"] = json!(y);
        }
        let mut built = json!({"kind": of, "sender": x, "source": x, "job": y, "repository": format!("{y}/{z}"), "branch": tag,
            "tag": tag, "image": format!("{z}.corp/{y}"), "result": "SUCCESS", "payload": {"k": tag}, "trigger": more,
            "artifacts": [{"type": "t", "name": "a1"}]});
        match changed {
            "" => {}
            "trigger" | "payload" => built[changed] = json!({}),
            "artifacts" => built[changed] = json!([]),
            member => built[member] = json!(other),
        }
        event(built)
    })
}

fn any_pipeline() -> impl Strategy<Value = Context> {
    (
        0..12u8,
        prop::collection::vec(any_trigger(), 0..6),
        any::<u8>(),
    )
        .prop_map(|(id, triggers, off)| {
            let mut config = pipeline(&format!("p{id}"), json!(triggers));
            config.insert("disabled".to_owned(), json!(off < 20));
            config.insert(
                "expectedArtifacts".to_owned(),
                json!([{"id": "1", "matchArtifact": {"name": "a.*"}}]),
            );
            config
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_index_finds_what_looking_at_all_finds(
        put in prop::collection::vec((any_pipeline(), any::<bool>()), 1..30),
        events in prop::collection::vec(any_event(), 1..40),
    ) {
        let mut index = TriggerIndex::default();
        let mut last: BTreeMap<String, Context> = BTreeMap::new();
        for (config, stays) in put {
            let id = config["id"].as_str().unwrap().to_owned();
            index.put(&config);
            last.insert(id.clone(), config);
            if !stays {
                index.remove(&id);
                last.remove(&id);
            }
        }
        for event in &events {
            let found: Vec<(String, usize)> =
                index.matches(event).into_iter().map(|fired| (fired.pipeline.to_string(), fired.index)).collect();
            // each pipeline alone, each of its triggers alone
            let mut naive = Vec::new();
            for (id, config) in &last {
                let mut alone = TriggerIndex::default();
                alone.put(config);
                let verdicts = alone.explain(id, event);
                naive.extend(verdicts.iter().find(|v| v.matched).map(|v| (id.clone(), v.index)));
                prop_assert!(verdicts.iter().all(|v| v.matched || !v.reason.is_empty()));
            }
            prop_assert_eq!(found, naive);
        }
        for id in last.keys() {
            index.remove(id);
        }
        prop_assert!(index.filed.is_empty() && index.pipelines.is_empty() && index.crons.is_empty());
    }
}

/// Any JSON, not too deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z/.:@$*^()\\[\\]\u{e9} -]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from);
        let map = prop::collection::btree_map("[a-z$.\\[\\]*]{0,5}", inner, 0..4);
        prop_oneof![
            list,
            map.prop_map(|map| Value::Object(map.into_iter().collect()))
        ]
    })
}

proptest! {
    #[test]
    fn nothing_panics(
        trigger in any_trigger(), happened in any_event(),
        in_trigger in prop::collection::vec((0..24usize, any_json()), 0..4),
        in_event in prop::collection::vec((0..10usize, any_json()), 0..4),
        payload in any_json(), more in any_json(), texts in prop::collection::vec("\\PC{0,12}", 5),
    ) {
        let mut trigger = trigger;
        let names: Vec<String> = trigger.as_object().unwrap().keys().cloned().collect();
        for (at, value) in in_trigger {
            trigger[&names[at % names.len()]] = value;
        }
        let mut happened = happened;
        let members = ["master", "job", "repository", "chart", "account", "properties", "propertyFiles", "slug", "version", "registry"];
        for (at, value) in in_event {
            happened.trigger.insert(members[at].to_owned(), value);
        }
        happened.payload = payload.as_object().cloned().unwrap_or_default();
        happened.artifacts = more.as_array().cloned().unwrap_or_default();
        if texts[0].len() > 4 {
            happened.job = Some(texts[0].clone());
            happened.image = Some(texts[1].clone());
            happened.repository = Some(texts[2].clone());
            happened.tag = Some(texts[3].clone());
        }
        let index = index(&[pipeline("p", json!([trigger]))]);
        let verdicts = index.explain("p", &happened);
        let starts = verdicts.iter().any(|verdict| verdict.starts);
        prop_assert_eq!(index.matches(&happened).len(), usize::from(starts));
        prop_assert!(index.property_files(&happened).len() <= 1);
    }
}
