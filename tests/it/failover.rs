//! What stands around a Postgres: switchovers, standbys, clocks, settings. Each test has servers of
//! its own, real nodes before them, and the smallest fault that broke the promise once.

mod clocks;
mod commits;
mod node;
mod primary;
mod settings;

const NO_POSTGRES: &str = "not run: a Postgres that can be stopped must be one of our own";
