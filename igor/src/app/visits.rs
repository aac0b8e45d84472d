//! Which time it is that a branch or a tag gets to where it is. A webhook and a look that tell of the same are one
//! event; a tag that is moved back to an image that it had before is a new one, though the image is not.
//!
//! What a name was at is kept in the object store, for all igors: an event is named after its content, and from the
//! second time on after the time too. Without the store it is named after its content alone.

use std::collections::BTreeMap;

use bytes::Bytes;
use igor_inbound::{git, image};
use kork::ports::{Condition, ObjectStoreError};
use kork_model::{InboundEvent, inbound::EventKind};
use serde::{Deserialize, Serialize};

use super::Igor;

/// Folder of the repositories.
const FOLDER: &str = "igor/visits/";
/// Names of a repository that are kept, and what each of them was at.
const NAMES_MAX: usize = 128;
const VISITS_MAX: usize = 8;
/// Deliveries that are remembered to have told of one.
const DELIVERIES_MAX: usize = 8;
/// How often another igor may write first.
const TRIES: usize = 8;

/// Who tells that a name is somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Teller<'a> {
    /// A look, which knows where it is now.
    Look,
    Delivery {
        id: Option<&'a str>,
        /// It says that there was no such branch or tag before.
        created: bool,
    },
}

/// The names of one repository.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Repository {
    names: BTreeMap<String, Name>,
    /// Grows with each change.
    turn: u64,
}

/// A branch or a tag.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Name {
    /// How often it was moved.
    moves: u64,
    /// The newest, the one where it is now last.
    visits: Vec<Visit>,
    turn: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Visit {
    /// Commit or digest.
    at: String,
    /// Which time, where it was there before.
    again: Option<u64>,
    deliveries: Vec<String>,
    /// A look has seen it, or came later.
    looked: bool,
}

impl Name {
    /// The visit that is told of, known or new; it is the last one then, if it is where the name is now.
    fn told(&mut self, at: &str, teller: Teller<'_>) -> Option<u64> {
        let index = match teller {
            Teller::Look => self.looked_at(at),
            Teller::Delivery { id, created } => self.delivered(at, id, created),
        };
        let index = index.unwrap_or_else(|| self.moved(at));
        let visit = &mut self.visits[index];
        if let Teller::Delivery { id: Some(id), .. } = teller
            && !visit.deliveries.iter().any(|known| known == id)
            && visit.deliveries.len() < DELIVERIES_MAX
        {
            visit.deliveries.push(id.to_owned());
        }
        let again = visit.again;
        if teller == Teller::Look {
            let visit = self.visits.remove(index);
            self.visits.push(visit);
            for visit in &mut self.visits {
                visit.looked = true;
            }
        }
        again
    }

    fn is_now(&self, at: &str) -> Option<usize> {
        let last = self.visits.len().checked_sub(1)?;
        (self.visits[last].at == at).then_some(last)
    }

    /// What deliveries told since the last look is seen by this one: they may have come in any order.
    fn looked_at(&self, at: &str) -> Option<usize> {
        let told = |visit: &Visit| visit.at == at && !visit.looked;
        self.visits
            .iter()
            .rposition(told)
            .or_else(|| self.is_now(at))
    }

    fn delivered(&self, at: &str, id: Option<&str>, created: bool) -> Option<usize> {
        let knows =
            |visit: &Visit| id.is_some_and(|id| visit.deliveries.iter().any(|known| known == id));
        let is_repeated = |visit: &Visit| visit.at == at && knows(visit);
        // A look may have been first: then nobody else has told of it yet.
        let is_other = |last: &usize| created && !self.visits[*last].deliveries.is_empty();
        self.visits
            .iter()
            .rposition(is_repeated)
            .or_else(|| self.is_now(at).filter(|last| !is_other(last)))
    }

    fn moved(&mut self, at: &str) -> usize {
        let is_known = self.visits.iter().any(|visit| visit.at == at);
        let is_forgotten = self.moves > self.visits.len() as u64;
        self.moves += 1;
        if self.visits.len() >= VISITS_MAX {
            self.visits.remove(0);
        }
        self.visits.push(Visit {
            at: at.to_owned(),
            again: (is_known || is_forgotten).then_some(self.moves),
            ..Visit::default()
        });
        self.visits.len() - 1
    }
}

impl Repository {
    fn told(&mut self, name: &str, at: &str, teller: Teller<'_>) -> Option<u64> {
        self.turn += 1;
        let turn = self.turn;
        let known = self.names.entry(name.to_owned()).or_default();
        known.turn = turn;
        let again = known.told(at, teller);
        if self.names.len() > NAMES_MAX {
            let oldest = self.names.iter().min_by_key(|(_, name)| name.turn);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.names.remove(&oldest);
            }
        }
        again
    }
}

/// An event about a name that may move.
struct Moved {
    repository: String,
    name: String,
    at: String,
    id: String,
}

impl Moved {
    /// Of commits those of watched repositories, which are named after their content; of images all with a digest.
    fn of(event: &InboundEvent) -> Option<Self> {
        match event.kind {
            EventKind::Git => {
                let (place, rest) = event.id.strip_prefix("git:")?.split_once(":refs/")?;
                let (name, at) = rest.rsplit_once(':')?;
                Some(Self {
                    repository: format!("git/{place}"),
                    name: name.to_owned(),
                    at: at.to_owned(),
                    id: event.id.clone(),
                })
            }
            EventKind::Image => {
                let (image, tag) = (event.image.as_deref()?, event.tag.as_deref()?);
                let digest = event.digest.as_deref()?;
                Some(Self {
                    repository: format!("docker/{image}"),
                    name: tag.to_owned(),
                    at: digest.to_owned(),
                    id: image::id(image, tag, digest),
                })
            }
            EventKind::Build
            | EventKind::Webhook
            | EventKind::Pubsub
            | EventKind::Cdevents
            | EventKind::Artifact => None,
        }
    }
}

impl Igor {
    /// Names what deliveries tell of branches and tags.
    pub(crate) async fn name_delivered(&self, events: &mut [InboundEvent]) {
        self.name(events, false).await;
    }

    /// Names what a look found.
    pub(crate) async fn name_looked(&self, events: &mut [InboundEvent]) {
        self.name(events, true).await;
    }

    async fn name(&self, events: &mut [InboundEvent], is_look: bool) {
        let mut places: BTreeMap<String, Vec<(&mut InboundEvent, Moved)>> = BTreeMap::new();
        for event in events {
            if let Some(moved) = Moved::of(event) {
                let place = places.entry(moved.repository.clone()).or_default();
                place.push((event, moved));
            }
        }
        for (place, mut moved) in places {
            if let Err(error) = self.name_in(&place, &mut moved, is_look).await {
                tracing::warn!(repository = place, %error, "events are named after their content alone");
                for (event, moved) in moved {
                    event.id = moved.id;
                }
            }
        }
    }

    async fn name_in(
        &self,
        place: &str,
        moved: &mut [(&mut InboundEvent, Moved)],
        is_look: bool,
    ) -> Result<(), ObjectStoreError> {
        let key = format!("{FOLDER}{}.json", git::encode_segment(place));
        let mut tries = 0;
        loop {
            let found = self.ports.objects.get(&key).await?;
            let kept = found
                .as_ref()
                .map(|found| serde_json::from_slice(&found.body));
            let mut repository: Repository = kept.and_then(Result::ok).unwrap_or_default();
            let ids: Vec<Option<u64>> = moved
                .iter()
                .map(|(event, moved)| {
                    let teller = if is_look {
                        Teller::Look
                    } else {
                        Teller::Delivery {
                            id: event.delivery.as_deref(),
                            created: git::is_created(event),
                        }
                    };
                    repository.told(&moved.name, &moved.at, teller)
                })
                .collect();
            let condition = match found {
                Some(found) => Condition::IfMatch(found.info.etag),
                None => Condition::IfAbsent,
            };
            let body = Bytes::from(serde_json::to_vec(&repository).unwrap_or_default());
            match self.ports.objects.put(&key, body, condition).await {
                Ok(_) => {
                    for ((event, moved), again) in moved.iter_mut().zip(ids) {
                        event.id = match again {
                            Some(time) => format!("{}/{time}", moved.id),
                            None => moved.id.clone(),
                        };
                    }
                    return Ok(());
                }
                Err(ObjectStoreError::ConditionFailed { .. }) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn by(id: &str) -> Teller<'_> {
        Teller::Delivery {
            id: Some(id),
            created: false,
        }
    }

    /// What is told, by whom, and which event that is.
    #[track_caller]
    fn check(told: &[(&str, Teller<'_>, &str)]) {
        let mut name = Name::default();
        for (index, (at, teller, expected)) in told.iter().enumerate() {
            let id = match name.told(at, *teller) {
                Some(time) => format!("{at}/{time}"),
                None => (*at).to_owned(),
            };
            assert_eq!(id, *expected, "{index}: {at} by {teller:?}");
            assert!(name.visits.len() <= VISITS_MAX);
        }
    }

    #[test]
    fn a_webhook_and_a_look_tell_of_the_same_whoever_is_first() {
        use Teller::Look;
        check(&[
            ("a", by("1"), "a"),
            ("a", Look, "a"),
            ("b", Look, "b"),
            ("b", by("2"), "b"),
            // Two pushes between two looks, and the look sees the second alone.
            ("c", by("3"), "c"),
            ("d", by("4"), "d"),
            ("d", Look, "d"),
            // They came in the wrong order.
            ("f", by("6"), "f"),
            ("e", by("5"), "e"),
            ("f", Look, "f"),
            ("f", Look, "f"),
        ]);
    }

    #[test]
    fn what_is_moved_back_is_new_and_what_is_repeated_is_not() {
        use Teller::Look;
        check(&[
            ("a", by("1"), "a"),
            ("b", by("2"), "b"),
            ("a", by("3"), "a/3"),
            ("b", by("4"), "b/4"),
            ("a", by("1"), "a"),
            ("b", by("2"), "b"),
            ("a", by("3"), "a/3"),
            ("b", Look, "b/4"),
            ("a", Look, "a/5"),
            ("a", by("5"), "a/5"),
            // Another sender tells of it, too.
            ("a", by("6"), "a/5"),
        ]);
        let created = Teller::Delivery {
            id: Some("7"),
            created: true,
        };
        check(&[
            ("a", by("1"), "a"),
            ("a", created, "a/2"),
            ("a", created, "a/2"),
        ]);
    }

    #[test]
    fn what_is_forgotten_is_not_taken_for_the_first_time() {
        let ids: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let mut name = Name::default();
        let mut seen = std::collections::BTreeSet::new();
        for (n, id) in ids.iter().enumerate() {
            let at = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"][n % 10];
            let again = name.told(at, by(id));
            assert!(seen.insert((at, again)), "{n}");
        }
    }

    #[test]
    fn names_that_nobody_speaks_of_are_forgotten() {
        let mut repository = Repository::default();
        for n in 0..=NAMES_MAX {
            repository.told(&format!("v{n}"), "a", Teller::Look);
            repository.told("main", "a", Teller::Look);
        }
        assert_eq!(repository.names.len(), NAMES_MAX);
        assert!(repository.names.contains_key("main") && !repository.names.contains_key("v0"));
    }
}
