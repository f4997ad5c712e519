//! One request, over either transport: its context, its outcome, and its entry in the access log.

mod access_log;
mod context;
mod grpc_timeout;
mod handler;
mod lane;
mod log_entry;
mod logged_body;
mod outcome;
mod request_id;

pub(crate) use self::{
    access_log::AccessLog,
    context::LocalUser,
    handler::{Handler, Overload},
    lane::lane_of,
    outcome::{Standing, Throttled},
};
pub use self::{context::RequestContext, grpc_timeout::grpc_timeout, outcome::Outcome};
pub use crate::pb::Method;
