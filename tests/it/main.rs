//! Everything is tried from outside: real nodes on real sockets, each with a database of its own.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic: its line is the message")]

mod support;

mod address;
mod attacks;
mod audience;
mod audit;
mod backup;
mod bench;
mod cache;
mod checklist;
mod clients;
mod command_line;
mod commands;
mod config;
mod conformance;
mod crash;
mod documented;
mod edits;
mod error_contract;
mod expiry;
mod failover;
mod failure_classes;
mod faults;
mod health;
mod interop;
mod lease;
mod links;
mod listeners;
mod lockout;
mod mistakes;
mod narrowing;
mod overload;
mod packaging;
mod patience;
mod places;
mod pool;
mod proxies;
mod quota;
mod real_clients;
mod revocations;
mod roles;
mod rotation;
mod rows;
mod schema;
mod secrecy;
mod shim;
mod start;
mod telemetry;
mod tokens;
mod trust;
mod two_nodes;
mod updates;
