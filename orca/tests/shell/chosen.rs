//! Starts by hand with a build of a person's choice.

use kork::{
    model::{
        Kind, Problem, Status,
        api::{igor::CompleteEvent, orca::StartStored},
    },
    rpc,
};
use serde_json::{Value, json};

use crate::world::{World, pipeline, wait};

async fn start(world: &World, trigger: &Value) -> Result<String, Problem> {
    let start = StartStored {
        application: "app".to_owned(),
        name_or_id: "a".to_owned(),
        trigger: trigger.as_object().unwrap().clone(),
        user: "ana".to_owned(),
        id: None,
    };
    let started = rpc::call(&*world.ports.rpc, &start).await?;
    Ok(started.reference.rsplit('/').next().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_gets_what_the_chosen_build_left() {
    let mut built = pipeline("a", &[wait("1", &[], 0)]);
    built["triggers"] = json!([{"type": "jenkins", "enabled": true, "master": "ci", "job": "shop",
                                "propertyFile": "build.json"}]);
    let world = World::new(vec![built]).await;
    let _orca = world.orca().await;
    let chosen = |number: u64| json!({"type": "jenkins", "master": "ci", "job": "shop", "buildNumber": number});
    let away = start(&world, &chosen(7)).await.unwrap_err();
    assert_eq!(
        away.kind,
        Kind::Unavailable,
        "nobody answers for igor: {away:?}"
    );
    let igor = rpc::serve(&*world.ports.rpc, |request: CompleteEvent| async move {
        assert_eq!(request.property_files, ["build.json"]);
        let mut event = request.event;
        assert_eq!((&*event.source, event.job.as_deref()), ("ci", Some("shop")));
        match event.build_number {
            Some(7) => {
                event.trigger.insert(
                    "buildInfo".to_owned(),
                    json!({"number": 7, "result": "SUCCESS"}),
                );
                let files = json!({"build.json": {"VERSION": "1.4.2"}});
                event.trigger.insert("propertyFiles".to_owned(), files);
                event.artifacts = vec![
                    json!({"type": "jenkins/file", "name": "shop.jar", "reference": "out/shop.jar"}),
                ];
                Ok(Some(event))
            }
            Some(8) => Ok(None),
            _ => Err(Problem::new(
                "IGOR-0009",
                Kind::NotFound,
                "there is no CI server \"ci\"",
            )),
        }
    });
    let _igor = igor.await.unwrap();
    let id = start(&world, &chosen(7)).await.unwrap();
    let ended = world.until(&id, Status::Succeeded).await;
    let trigger = &ended.trigger;
    assert_eq!(
        (&trigger["buildInfo"]["number"], &trigger["buildNumber"]),
        (&json!(7), &json!(7))
    );
    assert_eq!(trigger["properties"], json!({"VERSION": "1.4.2"}));
    assert_eq!(trigger["artifacts"][0]["name"], "shop.jar");
    let none = start(&world, &chosen(8)).await.unwrap_err();
    assert!(none.detail.contains("no build 8 of shop on ci"), "{none:?}");
    let unknown = start(&world, &chosen(9)).await.unwrap_err();
    assert_eq!(
        (&*unknown.code, unknown.kind),
        ("IGOR-0009", Kind::NotFound)
    );
    assert_eq!(world.executions().await.len(), 1);
    // By hand without a build, and as an earlier run had it: nobody is asked.
    let mut earlier = chosen(9);
    earlier["buildInfo"] = json!({"number": 9});
    for trigger in [json!({"type": "manual"}), earlier] {
        start(&world, &trigger).await.unwrap();
    }
}
