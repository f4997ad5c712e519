//! `WatchAuditEvents`: changes as they are made, for as long as the caller may see them.

use std::time::Duration;

use jeton::{
    domain::ClientState,
    pb::v1::{
        AuditFilter, ErrorReason, RaiseNotBeforeRequest, WatchAuditEventsRequest,
        WatchAuditEventsResponse, client_service_client::ClientServiceClient,
        watch_audit_events_response::Row,
    },
};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming, transport::Channel};

use super::{id, named};
use crate::support::{
    Kind,
    control::{ALL, Controlled, administrator, why},
    node::Credentials,
};

/// Far longer than the pause between two looks.
const LONG: Duration = Duration::from_secs(20);

type Events = Streaming<WatchAuditEventsResponse>;

impl Controlled {
    async fn watch(&self, message: WatchAuditEventsRequest) -> Events {
        let ask = self.ask(message).await;
        self.control.clone().watch_audit_events(ask).await.unwrap().into_inner()
    }

    async fn watch_as(&self, caller: &Credentials) -> Result<Events, Status> {
        let ask = self.ask_as(caller, WatchAuditEventsRequest::default()).await;
        Ok(self.control.clone().watch_audit_events(ask).await?.into_inner())
    }
}

/// Position and action of the next event.
async fn next(events: &mut Events) -> (i64, String) {
    let message = timeout(LONG, events.message()).await.unwrap().unwrap().unwrap();
    match message.row {
        Some(Row::Event(event)) => (event.seq, event.action),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_sent_as_they_are_made_and_a_stream_goes_on_where_another_ended() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        at.node.client("before").await;
        let mut events = at.watch(WatchAuditEventsRequest::default()).await;
        at.node.client("orders").await;
        let (seq, action) = next(&mut events).await;
        assert!(action.ends_with(".create"), "{kind:?} {action}");
        assert!(next(&mut events).await.0 == seq + 1, "{kind:?}");
        drop(events);

        let from = WatchAuditEventsRequest { after_seq: Some(seq), filter: None };
        let mut events = at.watch(from).await;
        assert_eq!(next(&mut events).await.0, seq + 1, "{kind:?}");

        let filter =
            AuditFilter { client_id: id("orders"), field: id("state"), ..Default::default() };
        let of = WatchAuditEventsRequest { after_seq: Some(0), filter: Some(filter) };
        let mut events = at.watch(of).await;
        let (created, action) = next(&mut events).await;
        assert!(action == "client.create" && created >= seq, "{kind:?} {action}");
        at.node.client("other").await;
        at.node.registry.set_client_state(&named("orders"), ClientState::Disabled).await.unwrap();
        assert_eq!(next(&mut events).await.1, "client.update", "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_authority_of_its_caller_and_with_the_node() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut events = at.watch(WatchAuditEventsRequest::default()).await;
        let raise = at.ask(RaiseNotBeforeRequest {}).await;
        at.control.clone().raise_not_before(raise).await.unwrap();
        let ended = loop {
            if let Err(status) = timeout(LONG, events.message()).await.unwrap() {
                break status;
            }
        };
        assert_eq!(why(&ended).0, ErrorReason::InvalidToken, "{kind:?}");

        let mut events = at.watch(WatchAuditEventsRequest::default()).await;
        let (_, ended) = tokio::join!(at.node.node.drain(), timeout(LONG, events.message()));
        assert_eq!(ended.unwrap().unwrap_err().code(), Code::Unavailable, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_has_few_streams_and_refuses_what_it_cannot_look_for() {
    let at = Controlled::start(Kind::Sqlite).await;
    let mut control = at.control.clone();
    let other = administrator(&at.node, "other", &ALL).await;
    let third = administrator(&at.node, "third", &ALL).await;
    let mut streams = Vec::new();
    // One caller takes half of the places at most.
    for caller in [&at.ops, &other] {
        for _ in 0..4 {
            streams.push(at.watch_as(caller).await.unwrap());
        }
        let refused = at.watch_as(caller).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::Unavailable);
    }
    let refused = at.watch_as(&third).await.unwrap_err();
    assert_eq!(why(&refused).0, ErrorReason::Unavailable);
    // Another takes the place of one that ended.
    drop(streams.pop());
    while at.watch_as(&third).await.is_err() {}

    let wrong = WatchAuditEventsRequest { after_seq: Some(-1), filter: None };
    let refused = control.watch_audit_events(at.ask(wrong).await).await.unwrap_err();
    assert_eq!(why(&refused), (ErrorReason::InvalidRequest, id("after_seq")));
    let filter = Some(AuditFilter { client_id: id("a b"), ..Default::default() });
    let wrong = WatchAuditEventsRequest { after_seq: None, filter };
    let refused = control.watch_audit_events(at.ask(wrong).await).await.unwrap_err();
    assert_eq!(why(&refused), (ErrorReason::InvalidRequest, id("filter.client_id")));
}

/// Of a stream whose caller takes nothing, nobody asks for the next row.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_reads_loses_its_place_with_the_authority_of_its_caller() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        // More than waits on the way to a caller.
        for number in 0..100 {
            at.node.client(&format!("client-{number}")).await;
        }
        let url = format!("http://{}", at.node.node.control_addr().unwrap());
        let narrow = Channel::from_shared(url).unwrap().initial_stream_window_size(1_000);
        let mut slow = ClientServiceClient::new(narrow.connect_lazy());
        let mut unread = Vec::new();
        for _ in 0..4 {
            let all = WatchAuditEventsRequest { after_seq: Some(0), filter: None };
            unread.push(slow.watch_audit_events(at.ask(all).await).await.unwrap());
        }
        let refused = at.watch_as(&at.ops).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::Unavailable, "{kind:?}");

        let raise = at.ask(RaiseNotBeforeRequest {}).await;
        at.control.clone().raise_not_before(raise).await.unwrap();
        let again = async { while at.watch_as(&at.ops).await.is_err() {} };
        timeout(LONG, again).await.unwrap();
        drop(unread);
    }
}
