//! Faults of a cluster and of clocks: the primary changes, the address of the node leads elsewhere
//! for a while, a clock is set. The operator always reaches the primary, so that things change there
//! meanwhile.

use super::{Fault, world::World};

/// Long enough for leases to end and to be taken anew.
const CLOCK_IS_WRONG: u64 = 2_500;

/// Makes a fault of a cluster or of a clock happen and end.
pub(super) async fn happen(fault: Fault, world: &mut World) {
    match fault {
        Fault::SwitchedOver => switch_over(world).await,
        Fault::FailedOver => fail_over(world).await,
        Fault::AddressFlips => flip(world).await,
        Fault::StandbyLags => lag(world).await,
        Fault::StandbyGone => lose_standby(world).await,
        Fault::NodeClock(ahead) => {
            world.node_clock().set(ahead);
            world.sleep(CLOCK_IS_WRONG).await;
            world.node_clock().set(0);
        }
        Fault::DatabaseClock(ahead) => {
            world.database_clock().set(ahead);
            world.sleep(CLOCK_IS_WRONG).await;
            world.database_clock().set(0);
        }
        other => unreachable!("{other:?} is a fault of something else"),
    }
}

/// A clean switchover; then the address leads to the new primary, and the old one comes back.
async fn switch_over(world: &mut World) {
    world.pair().switch_over().await;
    world.lead_to_primary();
    world.pair().rejoin().await;
}

/// The primary is killed, and the standby takes its place.
async fn fail_over(world: &mut World) {
    world.pair().fail_over().await;
    world.lead_to_primary();
    world.pair().rejoin().await;
}

/// After a switchover the address leads now to the new primary and now to the old one, which lags:
/// with connections that stay where they are, and with connections that are cut.
async fn flip(world: &mut World) {
    switch_over(world).await;
    world.pair().pause_replay().await;
    let old = world.pair().standby().url("postgres");
    for round in 0..8 {
        world.proxy.lead_to(&old);
        if round % 2 == 0 {
            world.proxy.cut();
        } else {
            world.proxy.kill_silently();
        }
        world.sleep(200 + 100 * round).await;
        world.lead_to_primary();
        world.sleep(300).await;
    }
    world.pair().resume_replay().await;
}

/// The address leads to a standby that stands still. Its connections stay there when it leads to
/// the primary again.
async fn lag(world: &mut World) {
    world.pair().pause_replay().await;
    let standby = world.pair().standby().url("postgres");
    world.proxy.lead_to(&standby);
    world.proxy.cut();
    world.sleep(2_500).await;
    world.lead_to_primary();
    world.sleep(500).await;
    world.pair().resume_replay().await;
}

/// The standby that commits wait for stops, and comes back.
async fn lose_standby(world: &mut World) {
    world.pair().stop_standby().await;
    world.sleep(3_000).await;
    world.pair().start_standby().await;
}
