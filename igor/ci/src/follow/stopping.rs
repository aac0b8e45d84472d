//! Stopping what nobody waits for any more, whoever has to do it: the follower itself, or a worker that
//! only hears that an order was withdrawn.

use super::{Progress, pace::Pace};
use crate::{BuildRequest, BuildServer, CiError};

/// So often it is tried. The pauses between the tries grow to half a minute: a server that restarts is
/// waited for, and so is what may not be done in this moment, such as cancelling an item that just starts.
const TRIES: u32 = 10;

/// Makes sure that nothing of a request goes on: neither what is known of it, nor what an unanswered request
/// may have left. A build that another execution waits for as well goes on.
pub async fn stop(
    ci: &dyn BuildServer,
    request: &BuildRequest,
    progress: &mut Progress,
) -> Result<(), CiError> {
    let mut pace = Pace::new(&request.unique_key);
    let mut attempt = 1;
    loop {
        match try_stop(ci, request, progress).await {
            Err(error) if attempt < TRIES => {
                tracing::debug!(job = request.job, %error, "a build is told to stop again");
            }
            stopped => return stopped,
        }
        let pause = pace.retry(attempt).as_millis() as u64;
        ci.clock().sleep_until(ci.now().plus_ms(pause)).await;
        attempt += 1;
    }
}

async fn try_stop(
    ci: &dyn BuildServer,
    request: &BuildRequest,
    progress: &mut Progress,
) -> Result<(), CiError> {
    // A build that cannot be told from those of others is not ours to stop.
    if let Some(prepared) = progress.prepared.clone()
        && progress.is_open()
        && prepared.is_unique
    {
        match ci.look_for(request, &prepared).await {
            Ok(Some(started)) => progress.started(started),
            // The server may know it by its key.
            Ok(None) | Err(CiError::Unknown(_)) => {}
            Err(error) => return Err(error),
        }
    }
    if progress.shared {
        return Ok(());
    }
    ci.stop(request, progress.item, progress.number).await
}
