//! The lane of each method.

use crate::{
    domain::Lane,
    pb::{Method, v1},
};

/// The lane whose hash queue and connections the calls of `method` of `TokenService` use. The
/// contract gives one to every method: without one `build.rs` fails.
pub(crate) const fn lane_of(method: Method) -> Lane {
    match method.lane() {
        v1::Lane::Inspect => Lane::Inspect,
        v1::Lane::Issue | v1::Lane::Control | v1::Lane::Unspecified => Lane::Issue,
    }
}
