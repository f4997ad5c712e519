//! Methods on what all clients have in common: the audit trail, all tokens, the installation.

use super::{Caller, ClientRpc, Refusal, clients::list_of, parse, render};
use crate::{
    domain::{self, position_in},
    pb::v1,
    registry::{AuditQuery, seq},
    request::Method,
};

impl ClientRpc {
    pub(super) async fn revoke_all(
        &self,
        caller: Caller,
    ) -> Result<v1::RaiseNotBeforeResponse, Refusal> {
        self.registry_for(&caller).revoke_all_tokens().await?;
        Ok(v1::RaiseNotBeforeResponse {})
    }

    pub(super) async fn events(
        &self,
        message: v1::ListAuditEventsRequest,
    ) -> Result<v1::ListAuditEventsResponse, Refusal> {
        let size = parse::page_size(message.page_size)?;
        if message.after_seq < 0 {
            let remedy = "cannot be negative: leave it out for the whole trail";
            return Err(Refusal::invalid("after_seq", remedy));
        }
        let query = parse::audit_query(message.filter.as_ref())?;
        if query != AuditQuery::default() && !message.newest_first {
            let remedy = "finds the newest events first: set newest_first as well";
            return Err(Refusal::invalid("filter", remedy));
        }
        let keys = self.store.installation().await?.tag_keys;
        let page_token = message.page_token.clone();
        let list =
            v1::ListAuditEventsRequest { page_size: 0, page_token: String::new(), ..message };
        let (after, newest_first) = (list.after_seq, list.newest_first);
        let list = list_of(Method::ListAuditEvents, &list);
        let from = match &*page_token {
            "" => None,
            token => {
                let from = position_in(&keys, &list, token);
                let from = from.map_err(Refusal::of_field("page_token"))?;
                // Only a number of ours has a tag of ours.
                Some(from.parse().unwrap_or(i64::MAX))
            }
        };
        let wanted = size.saturating_add(1);
        let mut entries = if newest_first {
            // The whole trail also has the rows that were moved to where Jeton puts none.
            let start = if after == 0 { i64::MIN } else { after.saturating_add(1) };
            let end = from.map_or(i64::MAX, |from: i64| from.saturating_sub(1));
            self.registry.find_audit(&query, start..=end, wanted as usize).await?
        } else {
            self.store.audit_after(from.unwrap_or(after), wanted).await?
        };
        let has_more = entries.len() > size as usize;
        entries.truncate(size as usize);
        let end = entries.iter().rev().find_map(seq).filter(|_| has_more);
        let next = end.map(|seq| domain::page_token(&keys, &list, &seq.to_string()));
        let unreadable = entries.iter().filter_map(|row| row.as_ref().err());
        Ok(v1::ListAuditEventsResponse {
            unreadable: unreadable.map(render::unreadable).collect(),
            events: entries.iter().flatten().map(render::event).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    pub(super) async fn describe(&self) -> Result<v1::GetInstallationResponse, Refusal> {
        let rotation = self.registry.tag_key_rotation().await?;
        let mark = self.store.audit_head().await?;
        Ok(v1::GetInstallationResponse {
            issuer: self.issuer.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            audit_mark: mark.map(|mark| mark.to_string()).unwrap_or_default(),
            tag_key_time: rotation.since.map(render::moment),
            previous_tag_key: rotation.has_previous,
            earlier_secrets: i64::try_from(rotation.earlier_secrets).unwrap_or(i64::MAX),
        })
    }
}
