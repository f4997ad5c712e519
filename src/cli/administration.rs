//! Where the commands of administration work: directly on a database, or through a node, which has
//! the same use cases on its control listener. Both return the same values, so that each command
//! has one output.

mod arguments;
mod calls;
mod clients;
mod declared;
mod evidence;
mod import;
mod message;
mod node;
mod order;
mod owners;
mod reading;
mod shown;
mod texts;
mod tokens;
mod trail;

use std::sync::atomic::{AtomicBool, Ordering};

use self::node::Node;
pub(super) use self::{
    arguments::{At, Changing, Ending, Reading},
    clients::{Clients, Consent, Shown},
    evidence::{Reach, Unused},
    order::{Created, CreatedClient, SecretOrder},
    shown::{ShownExplanation, ShownGrant, ShownOutcome, ShownSimulation, ShownToken, ShownTokens},
    texts::{Found, Owner, Text, Texts},
    tokens::Revoked,
    trail::{Events, Trail},
};
use super::{
    confirm::Confirmation,
    contexts::{self, Context, Label, NodePlace, Place},
    deadline::{Deadline, Wait},
    exit::Exit,
    output,
    server::Server,
    target::{Located, Target, UNCHANGED},
};
use crate::{
    config::{Database, GivenBy, Links},
    domain::{Actor, ClientId, HashCost},
};

/// Where a command works.
pub(super) struct Site {
    way: Way,
    /// Name of the database or of the node for people.
    pub(super) place: String,
    /// The context, if one names the place.
    context: Option<Label>,
    is_announced: AtomicBool,
}

enum Way {
    Database(Box<Target>),
    Node(Box<Node>),
}

impl Site {
    /// The database or the node that the flags, else the context, name. Nothing is connected yet.
    ///
    /// # Errors
    /// If the flags contradict each other, or if the context, or a file that it names, cannot be
    /// used.
    pub(super) fn of(at: At) -> anyhow::Result<Self> {
        let At { given, node, database } = at;
        Self::named(node.place()?, node.context.as_deref(), given.context, database)
    }

    /// The node that flags name, else the database that they name, else the context.
    ///
    /// # Errors
    /// As those of [`Site::of`].
    pub(super) fn named(
        node: Option<NodePlace>,
        context: Option<&str>,
        is_context_given: bool,
        database: Database,
    ) -> anyhow::Result<Self> {
        let links = database.links;
        if node.is_some() && database.given.database == Some(GivenBy::Flag) {
            return Err(Exit::Usage.error(
                "--server names a node to work through, and --database-url or --data-dir a \
                 database: leave one of them out",
            ));
        }
        let is_named = node.is_some() || database.given.database.is_some();
        if is_named && is_context_given {
            return Err(Exit::Usage.error(
                "--context names a place to work in, and so does another flag, a variable or the \
                 configuration file (--server, --database-url, --data-dir): leave one of them out",
            ));
        }
        if let Some(node) = node {
            return Self::through(node, links, None);
        }
        let named = if is_named { None } else { contexts::chosen(context)? };
        match named {
            Some(context) => Self::within(context, database),
            None => Self::on(Located { database, context: None }),
        }
    }

    /// The database or the node of a context. The flags of the database say how to connect.
    ///
    /// # Errors
    /// If it, or a file that it names, cannot be used.
    pub(super) fn within(context: Context, mut database: Database) -> anyhow::Result<Self> {
        let Context { label, place } = context;
        match place {
            Place::Node(node) => Self::through(node, database.links, Some(label)),
            Place::Database(place) => {
                place.name_in(&mut database);
                Self::on(Located { database, context: Some(label) })
            }
        }
    }

    fn through(node: NodePlace, links: Links, context: Option<Label>) -> anyhow::Result<Self> {
        let NodePlace { url, tls_ca, administrator } = node;
        let node = Node::new(Server { url, tls_ca }, links, administrator)?;
        let place = node.url().to_owned();
        let is_announced = AtomicBool::default();
        Ok(Self { place, way: Way::Node(Box::new(node)), context, is_announced })
    }

    fn on(located: Located) -> anyhow::Result<Self> {
        let context = located.context.clone();
        let target = Target::within(located)?;
        let (place, is_announced) = (target.place.clone(), AtomicBool::default());
        Ok(Self { place, way: Way::Database(Box::new(target)), context, is_announced })
    }

    /// The clients there, for commands that create no secret.
    pub(super) fn clients(&self, actor: Actor) -> Clients<'_> {
        self.hashing_clients(actor, HashCost::DEFAULT)
    }

    /// The clients there. On a database, new secrets are hashed at this cost; a node has its own.
    /// The audit trail of a node names the administrator instead of the actor.
    pub(super) fn hashing_clients(&self, actor: Actor, cost: HashCost) -> Clients<'_> {
        match &self.way {
            Way::Database(target) => Clients::Database(target.hashing_registry(actor, cost)),
            Way::Node(node) => Clients::Node(node),
        }
    }

    /// Prints where the command works, on standard error, once.
    pub(super) fn announce(&self) {
        if self.is_announced.swap(true, Ordering::Relaxed) {
            return;
        }
        let kind = if matches!(self.way, Way::Database(_)) { "Database" } else { "Node" };
        let context = self.context.as_ref().map(ToString::to_string).unwrap_or_default();
        output::remark(&format!("{kind}: {}{context}", self.place));
    }

    /// Prints where the command works, and does read-only `work`.
    pub(super) async fn look<T>(
        &self,
        deadline: Deadline,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        self.change(deadline, UNCHANGED, work).await
    }

    /// Prints where the command works, and does `work` that changes something. `undecided` is the
    /// message if no answer comes before the deadline.
    pub(super) async fn change<T>(
        &self,
        deadline: Deadline,
        undecided: &str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        self.announce();
        let done = self.step(deadline, undecided, work).await;
        self.leave().await;
        done
    }

    /// Closes the connections to a database.
    pub(super) async fn leave(&self) {
        if let Way::Database(target) = &self.way {
            target.leave().await;
        }
    }

    /// Does one part of the work, with its own deadline.
    pub(super) async fn step<T>(
        &self,
        deadline: Deadline,
        undecided: &str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        match &self.way {
            Way::Database(target) => target.step(deadline, undecided, target.ready_for(work)).await,
            Way::Node(_) => {
                let whom = format!("the node at {}", self.place);
                deadline.bound(&Wait { whom: &whom, undecided, store: None }, work).await
            }
        }
    }

    /// Whether somebody is to be asked before something stops to work.
    pub(super) fn is_to_confirm(&self, confirmation: Confirmation) -> bool {
        if self.is_protected() { !confirmation.yes } else { confirmation.is_to_be_asked() }
    }

    /// The same for a command that reads something else from standard input, and that concerns
    /// several clients.
    ///
    /// # Errors
    /// As those of [`Confirmation::ask_at_terminal`].
    pub(super) fn confirm_at_terminal(
        &self,
        confirmation: Confirmation,
        consequence: &str,
    ) -> anyhow::Result<()> {
        let context = self.context.as_ref().filter(|context| context.is_protected);
        confirmation.ask_at_terminal(consequence, context.map_or("yes", |context| &context.name))
    }

    /// Whether every such change has to be confirmed here.
    pub(super) fn is_protected(&self) -> bool {
        self.context.as_ref().is_some_and(|context| context.is_protected)
    }

    /// Prints the consequence of a change of a client, or of all, and asks whether to go on. In a
    /// protected context the answer is the name of the client, or that of the context.
    ///
    /// # Errors
    /// As those of [`Confirmation::ask`].
    pub(super) fn confirm(
        &self,
        confirmation: Confirmation,
        client: Option<&ClientId>,
        consequence: &str,
    ) -> anyhow::Result<()> {
        self.announce();
        let context = self.context.as_ref().filter(|context| context.is_protected);
        match context {
            Some(context) => {
                let name = client.map_or(&*context.name, ClientId::as_str);
                confirmation.ask_for_name(consequence, name)
            }
            None => confirmation.ask(consequence),
        }
    }
}
