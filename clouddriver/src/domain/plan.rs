//! From what should be and what is to the steps between them. The executor has no choices left.

use kork_model::Timestamp;
use serde::Serialize;

use super::group::{Phase, ServerGroup};

/// What is known about one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    pub ordinal: u32,
    pub state: State,
}

/// State of the process behind an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs, ready or not.
    Live,
    /// It was told to stop.
    Stopping,
    /// It ended; to be started again at this moment, or never.
    Ended { again_at: Option<Timestamp> },
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "action")]
pub enum Step {
    StartInstance {
        ordinal: u32,
    },
    /// Out of the traffic, drain, SIGTERM, grace, SIGKILL.
    StopInstance {
        ordinal: u32,
    },
    /// Forget an instance that ended and is not wanted any more.
    ForgetInstance {
        ordinal: u32,
    },
    /// Nothing runs any more: remove the directories and the record.
    RemoveServerGroup,
}

/// Steps for one server group, and when to look again without being asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Generation of the record that the plan was made for.
    pub generation: u64,
    pub steps: Vec<Step>,
    pub look_again: Option<Timestamp>,
}

/// Plans one server group. Pure; the same input gives the same plan, and a plan that was carried
/// out is followed by an empty one.
pub fn plan(now: Timestamp, desired: &ServerGroup, observed: &[Observed]) -> Plan {
    let mut steps = Vec::new();
    let mut look_again: Option<Timestamp> = None;
    let replicas = desired.replicas();
    for instance in observed {
        let ordinal = instance.ordinal;
        let wanted = ordinal < replicas;
        match instance.state {
            State::Live if !wanted => steps.push(Step::StopInstance { ordinal }),
            State::Ended { .. } if !wanted => steps.push(Step::ForgetInstance { ordinal }),
            State::Ended { again_at: Some(at) } if at <= now => {
                steps.push(Step::StartInstance { ordinal });
            }
            State::Ended { again_at: Some(at) } => {
                look_again = Some(look_again.map_or(at, |first| first.min(at)));
            }
            State::Live | State::Stopping | State::Ended { again_at: None } => {}
        }
    }
    let missing = |ordinal: &u32| observed.iter().all(|i| i.ordinal != *ordinal);
    steps.extend(
        (0..replicas)
            .filter(missing)
            .map(|ordinal| Step::StartInstance { ordinal }),
    );
    if desired.life == Phase::Destroying && observed.is_empty() {
        steps.push(Step::RemoveServerGroup);
    }
    Plan {
        generation: desired.generation,
        steps,
        look_again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::group::Capacity;

    fn group(life: Phase, desired: u32) -> ServerGroup {
        let capacity = Capacity {
            min: 0,
            max: desired,
            desired,
        };
        ServerGroup {
            life,
            capacity,
            generation: 4,
            ..ServerGroup::default()
        }
    }

    fn steps(group: &ServerGroup, observed: &[(u32, State)]) -> Vec<Step> {
        let observed: Vec<_> = observed
            .iter()
            .map(|(ordinal, state)| Observed {
                ordinal: *ordinal,
                state: *state,
            })
            .collect();
        plan(Timestamp(100), group, &observed).steps
    }

    const ENDED: State = State::Ended { again_at: None };

    #[test]
    fn missing_instances_are_started_and_surplus_ones_stopped() {
        let two = group(Phase::Active, 2);
        assert_eq!(
            steps(&two, &[]),
            [
                Step::StartInstance { ordinal: 0 },
                Step::StartInstance { ordinal: 1 }
            ]
        );
        assert_eq!(steps(&two, &[(0, State::Live), (1, State::Live)]), []);
        assert_eq!(
            steps(
                &two,
                &[
                    (0, State::Live),
                    (1, State::Live),
                    (2, State::Live),
                    (3, State::Stopping),
                    (4, ENDED)
                ]
            ),
            [
                Step::StopInstance { ordinal: 2 },
                Step::ForgetInstance { ordinal: 4 }
            ]
        );
    }

    #[test]
    fn an_ended_instance_waits_for_its_moment() {
        let one = group(Phase::Active, 1);
        assert_eq!(steps(&one, &[(0, ENDED)]), []);
        let due = State::Ended {
            again_at: Some(Timestamp(100)),
        };
        assert_eq!(
            steps(&one, &[(0, due)]),
            [Step::StartInstance { ordinal: 0 }]
        );
        let later = Observed {
            ordinal: 0,
            state: State::Ended {
                again_at: Some(Timestamp(101)),
            },
        };
        let plan = plan(Timestamp(100), &one, &[later]);
        assert_eq!(
            (plan.steps, plan.look_again, plan.generation),
            (vec![], Some(Timestamp(101)), 4)
        );
    }

    #[test]
    fn nothing_runs_before_it_is_prepared_nor_after_it_failed() {
        assert_eq!(steps(&group(Phase::Preparing, 2), &[]), []);
        let failed = Phase::Failed {
            reason: "probe".to_owned(),
        };
        assert_eq!(
            steps(&group(failed, 2), &[(0, State::Live)]),
            [Step::StopInstance { ordinal: 0 }]
        );
    }

    #[test]
    fn a_group_is_removed_when_its_last_instance_has_gone() {
        let going = group(Phase::Destroying, 2);
        assert_eq!(
            steps(&going, &[(0, State::Live)]),
            [Step::StopInstance { ordinal: 0 }]
        );
        assert_eq!(steps(&going, &[(0, State::Stopping)]), []);
        assert_eq!(
            steps(&going, &[(0, ENDED)]),
            [Step::ForgetInstance { ordinal: 0 }]
        );
        assert_eq!(steps(&going, &[]), [Step::RemoveServerGroup]);
    }
}
