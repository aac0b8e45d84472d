//! Every parser takes what is in the repository, and some hundred changes of it: the same ones each time.

use std::time::{Duration, Instant};

use fuzz::{
    Target,
    campaign::{Campaign, Find},
    corpus, target,
};

/// Seed of the changes; another one is for `make fuzz`.
const SEED: u64 = 1;
/// Changes of each target, and when they end early: a debug build on a busy machine has other things to do.
const CHANGES: usize = 120;
const TIME_MAX: Duration = Duration::from_millis(200);

/// What a person needs to know.
fn told(target: &Target, find: &Find) -> String {
    let folder = std::env::temp_dir().join("gennaker-fuzz");
    let path = corpus::write(&folder, "fault-", &find.input, target.has_head());
    let path = path.map_or_else(|error| error.to_string(), |path| path.display().to_string());
    format!(
        "{}: {}\n  again: make fuzz TARGET={} INPUT={path}",
        target.name, find.fault, target.name
    )
}

#[test]
fn what_is_stored_and_changes_of_it_are_taken_well() {
    let (mut faults, mut runs) = (Vec::new(), 0);
    for target in target::all() {
        let began = Instant::now();
        let (mut campaign, finds) = Campaign::new(target, SEED, Vec::new());
        faults.extend(finds.iter().map(|find| told(&target, find)));
        for _ in 0..CHANGES {
            if began.elapsed() > TIME_MAX {
                break;
            }
            let input = campaign.next_input();
            faults.extend(campaign.try_one(&input).map(|find| told(&target, &find)));
        }
        runs += campaign.progress().runs;
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(runs > 2_000, "only {runs} inputs were tried");
}

#[test]
fn every_folder_belongs_to_a_target_and_its_files_are_small() {
    let names: Vec<&str> = target::all().iter().map(|target| target.name).collect();
    for (of, bytes_max) in [
        (corpus::corpus as fn(&str) -> _, 4 * 1024),
        (corpus::regressions, 32 * 1024),
    ] {
        let parent: std::path::PathBuf = of("");
        let Ok(folders) = parent.read_dir() else {
            continue;
        };
        for folder in folders.flatten() {
            let name = folder.file_name().into_string().unwrap();
            // Without their feature some targets are not there.
            let is_known = names.contains(&name.as_str()) || !cfg!(feature = "clients");
            assert!(is_known, "no target is called {name}");
            for (path, input) in corpus::read(&folder.path(), false) {
                assert!(input.len() <= bytes_max, "{} is large", path.display());
            }
        }
    }
}
