//! Rules for every call over both transports: a concurrency limit, a deadline, and a guard that
//! confines a panic to the call in which it happens.

use std::{
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::time::{error::Elapsed, sleep_until, timeout_at};
use tonic::{Request, Response, Status, body::Body};

use super::{grpc_rules, permits::Permits, status};
use crate::{
    pb::v1::ErrorReason,
    request::{Method, Outcome, RequestContext},
};

/// How long a client that exceeds its quota waits for the refusal. Without it, a client that asks
/// in a loop takes the whole node with refusals.
const QUOTA_DELAY: Duration = Duration::from_millis(100);

/// Timeout of a call of administration. A batch computes 200 hashes one after the other, and a
/// change may wait for a node that has died.
const CONTROL_TIMEOUT: Duration = Duration::from_mins(1);

/// Admits calls up to the concurrency limit. Clones share the limit.
#[derive(Debug, Clone)]
pub struct Admission {
    permits: Arc<Permits>,
    /// Timeout of a call, from its complete message to its response.
    request_timeout: Duration,
}

impl Admission {
    /// Admits at most `max_requests` calls in flight per lane, each for at most `request_timeout`.
    #[must_use]
    pub fn new(max_requests: u32, request_timeout: Duration) -> Self {
        Self { permits: Arc::new(Permits::new(max_requests)), request_timeout }
    }

    /// Number of calls refused because their lane had no free permit.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.permits.refused()
    }

    /// Runs one call: takes a permit, then applies the deadline, then the panic guard. Records the
    /// method and the outcome for the access log.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the lane has no free permit, `DEADLINE_EXCEEDED` at the caller's deadline
    /// or after `request_timeout`, whichever comes first, `INTERNAL` after a panic; otherwise the
    /// error of the call.
    pub(crate) async fn run<M, T, F>(
        &self,
        method: Method,
        request: Request<M>,
        call: impl FnOnce(Request<M>, RequestContext) -> F,
    ) -> Result<Response<T>, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let context = request.extensions().get::<RequestContext>().cloned().unwrap_or_default();
        context.record_method(method);
        context.record_call();
        let answered = match self.permits.take(method) {
            Ok(_permit) => {
                let deadline = context.deadline_within(self.request_timeout);
                let mut limited = context.clone();
                limited.deadline = Some(deadline);
                guarded(deadline, pin!(call(request, limited))).await
            }
            Err(refused) => Err(refused),
        };
        let (outcome, answer) = with_outcome(answered);
        context.record_outcome(outcome);
        if outcome == Outcome::Error(ErrorReason::QuotaExceeded) {
            // Its permit is free again, so the wait keeps nobody else out. Boxed, because few calls
            // have one.
            return Box::pin(answer_at(context.deadline_within(QUOTA_DELAY), answer)).await;
        }
        answer
    }

    /// Runs one call of administration, whose message is not read yet. First `check` finds the
    /// caller, without a permit, so that those it refuses take none from others. Then `call` reads
    /// the message and answers, within a permit. The deadline and the panic guard are around both.
    pub(crate) async fn run_unread<C, F>(
        &self,
        method: Method,
        context: &RequestContext,
        check: impl Future<Output = Result<C, Status>>,
        call: impl FnOnce(C) -> F,
    ) -> http::Response<Body>
    where
        F: Future<Output = http::Response<Body>>,
    {
        let answering = async {
            let caller = check.await?;
            let _permit = self.permits.take(method)?;
            let response = call(caller).await;
            let is_call = context.is_call();
            let response = if is_call { response } else { grpc_rules::blame_caller(response) };
            Status::from_header_map(response.headers()).map_or(Ok(response), Err)
        };
        let deadline = context.deadline_within(CONTROL_TIMEOUT);
        let (outcome, answer) = with_outcome(guarded(deadline, pin!(answering)).await);
        context.record_outcome(outcome);
        answer.map_or_else(Status::into_http, Response::into_inner)
    }
}

/// Takes and returns the answer by value: a future keeps what was borrowed in it.
fn with_outcome<T>(answered: Result<T, Status>) -> (Outcome, Result<Response<T>, Status>) {
    let outcome = answered.as_ref().err().map_or(Outcome::Ok, Outcome::of_status);
    (outcome, answered.map(Response::new))
}

/// Gives an answer at this moment.
async fn answer_at<T>(moment: Instant, answer: T) -> T {
    sleep_until(moment.into()).await;
    answer
}

/// Ends a call at its deadline, and turns a panic into an error for its caller alone. The call is
/// pinned where it was made: it is some kilobytes large, and each layer here would copy it.
pub(super) async fn guarded<T>(
    deadline: Instant,
    call: Pin<&mut impl Future<Output = Result<T, Status>>>,
) -> Result<T, Status> {
    // No state of a call is used after its panic, so nothing half done is observed.
    let call = AssertUnwindSafe(call).catch_unwind();
    match timeout_at(deadline.into(), call).await {
        Ok(Ok(answered)) => answered,
        // The payload is not logged: it could contain a piece of the request. The panic hook has
        // logged where the panic happened.
        Ok(Err(_payload)) => {
            tracing::error!("a call panicked");
            Err(status::internal())
        }
        Err(Elapsed { .. }) => Err(Status::deadline_exceeded("the deadline passed")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic::Code;
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;
    use crate::pb::ERROR_DOMAIN;

    const SHORT: Duration = Duration::from_millis(20);

    async fn run<F>(
        admission: &Admission,
        context: RequestContext,
        call: impl FnOnce() -> F,
    ) -> Option<Code>
    where
        F: Future<Output = Result<(), Status>>,
    {
        let mut request = Request::new(());
        request.extensions_mut().insert(context);
        let answered = admission.run(Method::IssueToken, request, |_, _| call()).await;
        answered.err().map(|status| status.code())
    }

    #[tokio::test]
    async fn a_panic_is_internal_and_a_slow_call_ends_at_its_deadline() {
        let admission = Admission::new(1, SHORT);
        let panics = async || panic!("on purpose");
        let sleeps = async || {
            tokio::time::sleep(Duration::from_mins(1)).await;
            Ok(())
        };
        let fresh = RequestContext::default;
        assert_eq!(run(&admission, fresh(), panics).await, Some(Code::Internal));
        assert_eq!(run(&admission, fresh(), sleeps).await, Some(Code::DeadlineExceeded));
        // The earlier deadline counts; here it is the caller's.
        let patient = Admission::new(1, Duration::from_mins(1));
        let soon = RequestContext::new(None, Some(Instant::now() + SHORT));
        assert_eq!(run(&patient, soon, sleeps).await, Some(Code::DeadlineExceeded));
        assert_eq!(run(&admission, fresh(), async || Ok(())).await, None);
    }

    #[tokio::test]
    async fn the_refusal_of_a_quota_waits_without_a_permit_and_at_most_until_the_deadline() {
        let admission = Admission::new(1, Duration::from_mins(1));
        let exceeds = async || {
            let mut details = ErrorDetails::new();
            details.set_error_info("QUOTA_EXCEEDED", ERROR_DOMAIN, HashMap::new());
            Err(Status::with_error_details(Code::ResourceExhausted, "used up", details))
        };
        let began = Instant::now();
        let refused = run(&admission, RequestContext::default(), exceeds);
        let other = async {
            tokio::task::yield_now().await;
            assert_eq!(run(&admission, RequestContext::default(), async || Ok(())).await, None);
            assert!(began.elapsed() < QUOTA_DELAY, "it waited for a permit");
        };
        let (code, ()) = tokio::join!(refused, other);
        assert_eq!(code, Some(Code::ResourceExhausted));
        assert!(began.elapsed() >= QUOTA_DELAY);
        let began = Instant::now();
        let hurried = RequestContext::new(None, Some(began + SHORT));
        assert_eq!(run(&admission, hurried, exceeds).await, Some(Code::ResourceExhausted));
        assert!(began.elapsed() < QUOTA_DELAY);
    }

    #[tokio::test]
    async fn lanes_have_permits_of_their_own_which_are_given_back() {
        let admission = Admission::new(1, Duration::from_mins(1));
        let outer = admission.run(Method::IssueToken, Request::new(()), async |_, _| {
            let same = admission.run(Method::IssueToken, Request::new(()), async |_, _| Ok(()));
            assert_eq!(same.await.map_err(|status| status.code()).err(), Some(Code::Unavailable));
            for method in [Method::IntrospectToken, Method::RevokeToken] {
                admission.run(method, Request::new(()), async |_, _| Ok(())).await?;
            }
            Ok(())
        });
        outer.await.unwrap();
        assert_eq!(admission.refused(), 1);
        let again = admission.run(Method::IssueToken, Request::new(()), async |_, _| Ok(()));
        again.await.unwrap();
    }

    #[tokio::test]
    async fn those_whom_the_check_refuses_take_no_permit_and_nothing_of_theirs_is_read() {
        let admission = Admission::new(1, Duration::from_mins(1));
        let all = || admission.permits.take(Method::DisableClient).ok();
        let taken: Vec<_> = std::iter::from_fn(all).collect();
        assert!(!taken.is_empty());
        let code = async |check: Result<(), Status>| {
            let context = RequestContext::default();
            let (method, check) = (Method::DisableClient, std::future::ready(check));
            let call = async |()| panic!("it is read");
            let response = admission.run_unread(method, &context, check, call).await;
            Status::from_header_map(response.headers()).unwrap().code()
        };
        assert_eq!(code(Err(Status::unauthenticated("no token"))).await, Code::Unauthenticated);
        assert_eq!(code(Ok(())).await, Code::Unavailable);
    }
}
