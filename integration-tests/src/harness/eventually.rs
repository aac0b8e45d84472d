//! Waiting for a condition with a deadline; what was seen last is told when it does not come.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(15);

/// Looks until the condition gives a value; panics at the deadline with the last status.
pub async fn eventually<T>(
    label: &str,
    deadline: Duration,
    look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    match within(deadline, look).await {
        Ok(value) => value,
        Err(last) => panic!("{label}: not within {deadline:?}; last: {last}"),
    }
}

/// Looks until the condition gives a value, or answers with the last status at the deadline.
pub async fn within<T>(
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, String> {
    let end = Instant::now() + deadline;
    loop {
        match look().await {
            Ok(value) => return Ok(value),
            Err(last) if Instant::now() >= end => return Err(last),
            Err(_) => sleep(LOOK).await,
        }
    }
}
