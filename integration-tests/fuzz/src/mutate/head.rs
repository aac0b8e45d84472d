//! Changes of a head: its names, its values, their number.

use super::{Material, text};
use crate::random::Random;

/// Names of one head; more are not added.
const NAMES_MAX: usize = 300;

/// Makes one change.
pub(super) fn change(
    head: &mut Vec<(String, String)>,
    material: Material<'_>,
    random: &mut Random,
) {
    let at = random.below(head.len());
    match random.below(9) {
        0 if !head.is_empty() => drop(head.remove(at)),
        1 if !head.is_empty() => {
            let twin = head[at].clone();
            head.push(twin);
        }
        2 | 3 if !head.is_empty() => head[at].1 = text(&head[at].1, material, random),
        4 if head.len() > 1 => {
            // The value of another name.
            let other = random.below(head.len());
            head[at].1 = head[other].1.clone();
        }
        5 if !head.is_empty() => {
            if let Some((name, _)) = random.pick(material.heads) {
                name.clone_into(&mut head[at].0);
            }
        }
        6 => {
            // From another input, as it is there.
            let other = random
                .pick(material.others)
                .and_then(|other| random.pick(&other.head));
            if let Some((name, value)) = other {
                put(head, name, value);
            }
        }
        7 if head.len() < NAMES_MAX && random.one_in(20) => {
            head.extend((0..200).map(|n| (format!("x-{n}"), "v".to_owned())));
        }
        _ => {
            if let Some((name, value)) = random.pick(material.heads) {
                put(head, name, value);
            }
        }
    }
}

/// In the place of the one that has this name.
fn put(head: &mut Vec<(String, String)>, name: &str, value: &str) {
    head.retain(|(n, _)| n != name);
    head.push((name.to_owned(), value.to_owned()));
}
