//! Those who ask for tokens, ask about them and revoke them, as their dice fall.

use std::{sync::Arc, time::Duration};

use super::{
    actor::{Actor, Dice, Secret, Shared, Token},
    history::Told,
};

/// Most questions are about the tokens issued last, so that many ask about the same.
const LATEST: usize = 64;

/// Gives up after a second or after a long time: those who wait are answered by a node that was
/// paused, and the others go on beside it.
const PATIENCES: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(1)];

pub(super) struct Caller {
    actor: Arc<Actor>,
    dice: Dice,
}

impl Caller {
    pub(super) fn new(shared: &Arc<Shared>, seed: u64, number: usize) -> Self {
        let actor = Actor::new(Arc::clone(shared), PATIENCES[number % 2]);
        Self { actor, dice: Dice::of(seed, number) }
    }

    pub(super) async fn run(mut self) {
        while !self.actor.shared.is_over() {
            let node = self.dice.below(2);
            match self.dice.below(24) {
                0..8 => _ = self.issue(node).await,
                8..22 => self.introspect(node).await,
                _ => self.revoke(node).await,
            }
            // With nothing to ask for or about, it would never let the others on.
            tokio::task::yield_now().await;
        }
    }

    async fn issue(&mut self, node: usize) -> Option<Arc<Token>> {
        let secret = self.secret()?;
        self.actor.issue(node, &secret).await
    }

    async fn introspect(&mut self, node: usize) {
        let Some(token) = self.token() else { return };
        self.actor.introspect(node, &token).await;
    }

    /// A token that was issued just now or long ago is asked about on both nodes, revoked on one,
    /// and asked about again at once.
    async fn revoke(&mut self, node: usize) {
        let token = match self.dice.below(2) {
            0 => self.issue(self.dice.clone().below(2)).await,
            _ => self.token(),
        };
        let Some(token) = token else { return };
        let mut told = self
            .actor
            .amid_questions(&token, async { self.actor.revoke(node, &token).await })
            .await;
        let mut tries = 1;
        loop {
            for node in [1 - node, node] {
                self.actor.introspect(node, &token).await;
            }
            if !matches!(told, Told::Failed(_)) || tries == 3 {
                return;
            }
            // Whether it is revoked is unknown. It is asked for again, perhaps of the other node.
            tries += 1;
            told = self.actor.revoke(self.dice.below(2), &token).await;
        }
    }

    /// A secret of any client that is of use now.
    fn secret(&mut self) -> Option<Arc<Secret>> {
        let live = &self.actor.shared.live;
        let live = live[self.dice.below(live.len())].lock().unwrap();
        let chosen = self.dice.below(live.len().max(1));
        live.get(chosen).cloned()
    }

    fn token(&mut self) -> Option<Arc<Token>> {
        let tokens = self.actor.shared.tokens.lock().unwrap();
        let among = if self.dice.below(4) == 0 { tokens.len() } else { tokens.len().min(LATEST) };
        let back = self.dice.below(among.max(1));
        tokens.iter().nth_back(back).cloned()
    }
}
