//! `jeton health`: the readiness of a node or a shim as an exit status, for containers, service
//! managers and scripts.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{anyhow, bail};
use clap::Args;
use http::StatusCode;
use jeton_client::HttpConnection;

use super::{
    deadline::{Deadline, Wait},
    exit::Exit,
    output,
};
use crate::config::RunningProbes;

/// Default timeout. It is shorter than that of the health check in the image, so that the reason of
/// a failure is printed.
const DEFAULT: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jeton health
  jeton health --addr 127.0.0.1:9091 --timeout 1
  until jeton health; do sleep 1; done")]
pub(super) struct Health {
    /// Ask only whether the process answers (/livez), not whether it is ready (/readyz)
    #[arg(long)]
    live: bool,

    #[command(flatten)]
    probes: RunningProbes,
}

impl Health {
    /// Asks the probe listener. `timeout` is that of `--timeout`.
    pub(super) async fn run(self, timeout: Option<Duration>) -> anyhow::Result<()> {
        let address = reachable(self.probes.probe_addr);
        let whom = format!("the probe listener at {address}");
        let wait = Wait { whom: &whom, undecided: "So it counts as not ready.", store: None };
        let deadline = Deadline::whole(Some(timeout.unwrap_or(DEFAULT)));
        let answer = deadline.bound(&wait, self.ask(address)).await;
        // Container engines know 0 and 1 only.
        let answer = answer.map_err(|error| Exit::Failed.error(format!("{error:#}")))?;
        output::say(&answer);
        Ok(())
    }

    async fn ask(&self, address: SocketAddr) -> anyhow::Result<String> {
        let path = if self.live { "/livez" } else { "/readyz" };
        let url = format!("http://{address}");
        let mut connection = HttpConnection::connect(&url, None).await.map_err(|error| {
            let error = anyhow::Error::new(error);
            anyhow!("{error:#}; start a node, or name its --probe-addr with --addr")
        })?;
        let answer = connection.get(path).await?;
        let said = output::printable(String::from_utf8_lossy(&answer.body).trim_end());
        match answer.status {
            StatusCode::OK => Ok(said),
            StatusCode::SERVICE_UNAVAILABLE => bail!("the node is not ready: {said}"),
            status => bail!("{url} is no probe listener of a node: {path} answered {status}"),
        }
    }
}

/// Address to connect to for a listener that is bound to `address`: an unspecified one means all
/// addresses of this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
