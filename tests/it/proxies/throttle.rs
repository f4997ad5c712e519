//! The read throttle on a connection that many callers share: who fails is told to wait, and who
//! does not fail is served as if nobody failed.

use std::time::{Duration, Instant};

use super::{ATTACKER, Attack, CHEAP, COLD, Secrets, TRUSTED, VICTIM, Way, ask, status};
use crate::support::binary::Served;

const HEADER: Way = Way::Header("X-Forwarded-For");
const LIMIT: [&str; 2] = ["--max-failures-per-second", "20"];

/// The median time of a call, out of many.
async fn median(shim: &Served, secret: &str) -> Duration {
    let mut times = Vec::new();
    for attempt in 0..60 {
        let began = Instant::now();
        let head = ask(Way::Direct, "127.0.0.5", shim.http, "victim", secret).await;
        assert_eq!(status(&head), 200, "{attempt}: {head}");
        times.push(began.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

/// S-10. Each attacker fails at more than the rate that its source has, and they exceed it ten
/// times together. On a connection that is slowed as a whole, each call would wait for a quarter of
/// a second; the least bound is for the share of the machine that the attack takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_of_a_shim_does_not_wait_for_eight_who_fail() {
    let secrets = Secrets::new().await;
    for trust in [&["--trusted-proxy", "127.0.0.1"][..], &[]] {
        let node = secrets.serve(&[&CHEAP, &LIMIT, trust]);
        let upstream = format!("http://{}", node.grpc);
        let shim = Served::shim(&["--upstream", &upstream, "--max-failures-per-second", "0"]);
        let calm = median(&shim, &secrets.right).await;
        let sources: Vec<_> = (10..18).map(|last| format!("127.0.0.{last}")).collect();
        let pause = Duration::from_millis(30);
        let attack = Attack::begin(Way::Direct, &sources, shim.http, "wrong", pause);
        attack.has_failed(150).await;
        let beside = median(&shim, &secrets.right).await;
        let bound = (3 * calm).max(Duration::from_millis(200));
        assert!(beside <= bound, "{trust:?}: {beside:?} beside {calm:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_keeps_failing_is_told_to_wait_and_fills_no_log() {
    let secrets = Secrets::new().await;
    let node = secrets.serve(&[&CHEAP, &COLD, &LIMIT, &TRUSTED]);
    let mut refused = 0;
    for attempt in 0..200 {
        let head = ask(HEADER, ATTACKER, node.http, "victim", &secrets.old).await;
        refused += u32::from(status(&head) == 429);
        assert!(status(&head) == 401 || head.to_lowercase().contains("retry-after: "), "{head}");
        if attempt % 20 == 19 {
            // One at another address, and one that shares the address of the attacker.
            for source in [VICTIM, ATTACKER] {
                let head = ask(HEADER, source, node.http, "victim", &secrets.right).await;
                assert_eq!(status(&head), 200, "{source}, {attempt}: {head}");
            }
        }
    }
    assert!(refused > 100, "{refused}");
    // A text that was not made here, for which there is no lockout.
    let head = ask(HEADER, ATTACKER, node.http, "victim", "wrong").await;
    assert_eq!(status(&head), 429, "{head}");
    let log = node.until("they are throttled") + &node.end();
    assert!(log.contains(&format!("they are throttled source={ATTACKER}")), "{log}");
    let lines = log.lines().filter(|line| line.contains("answered")).count();
    assert!(lines < 150, "{lines}");
}
