//! Where the commands of `jeton client` work: directly on a database, or through a node, which has
//! the same use cases on its control listener. Both return the same values, so that each command
//! has one output.

mod arguments;
mod calls;
mod clients;
mod context;
mod declared;
mod import;
mod message;
mod node;
mod order;
mod reading;

use anyhow::Context as _;

pub(super) use self::{
    arguments::{At, Changing, Ending, Reading},
    clients::{Clients, Consent, Shown},
    order::{Created, CreatedClient, SecretOrder},
};
use self::{
    context::Place,
    node::{Administrator, Node},
};
use super::{
    confirm::Confirmation,
    deadline::{Deadline, Wait},
    exit::Exit,
    output,
    server::Server,
    target::{Target, UNCHANGED},
};
use crate::domain::{Actor, ClientId, HashCost};

/// Where a command works.
pub(super) struct Site {
    way: Way,
    /// Name of the database or of the node for people.
    pub(super) place: String,
    /// Name of the context, if there is one.
    context: Option<String>,
    /// Whether a change after which something no longer works is confirmed by its name.
    is_protected: bool,
}

enum Way {
    Database(Box<Target>),
    Node(Box<Node>),
}

impl Site {
    /// The database or the node that the flags or the context name. Nothing is connected yet.
    ///
    /// # Errors
    /// If the context, or a file that it names, cannot be used.
    pub(super) fn of(at: At) -> anyhow::Result<Self> {
        let At { node, mut database } = at;
        let links = database.links;
        let context = node.context.as_deref().map(context::find).transpose()?;
        let is_protected = context.as_ref().is_some_and(|context| context.is_protected);
        let place = match context {
            Some(context) => Some(context.place),
            None => node.place()?,
        };
        let way = match place {
            Some(Place::Node { url, tls_ca, administrator }) => {
                Way::Node(Box::new(Node::new(Server { url, tls_ca }, links, administrator)?))
            }
            Some(Place::Postgres { url, password_file }) => {
                database.database_url = Some(url);
                database.database_password_file = password_file;
                Way::Database(Box::new(Target::within(database)?))
            }
            Some(Place::Embedded(directory)) => {
                (database.database_url, database.database_password_file) = (None, None);
                database.directory.data_dir = directory;
                Way::Database(Box::new(Target::within(database)?))
            }
            None => Way::Database(Box::new(Target::of(database)?)),
        };
        let place = match &way {
            Way::Database(target) => target.place.clone(),
            Way::Node(node) => node.url().to_owned(),
        };
        Ok(Self { way, place, context: node.context, is_protected })
    }

    /// The database, for commands that no node can run.
    ///
    /// # Errors
    /// If the command is to work through a node.
    pub(super) fn database(&self) -> anyhow::Result<&Target> {
        match &self.way {
            Way::Database(target) => Ok(target),
            Way::Node(node) => Err(Exit::Usage.error(format!(
                "this command works only directly on the database, and not through the node {}: \
                 name the database with --database-url or --data-dir",
                node.url()
            ))),
        }
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

    /// Prints where the command works, on standard error.
    pub(super) fn announce(&self) {
        let kind = if matches!(self.way, Way::Database(_)) { "Database" } else { "Node" };
        let protected = if self.is_protected { ", protected" } else { "" };
        let context = self.context.as_ref();
        let context = context.map(|name| format!(" (context {name}{protected})"));
        output::remark(&format!("{kind}: {}{}", self.place, context.unwrap_or_default()));
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
        if self.is_protected { !confirmation.yes } else { confirmation.is_to_be_asked() }
    }

    /// Whether every such change has to be confirmed here.
    pub(super) const fn is_protected(&self) -> bool {
        self.is_protected
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
        if !self.is_protected {
            return confirmation.ask(consequence);
        }
        let name = client.map(ClientId::as_str).or(self.context.as_deref());
        let name = name.context("only a context is protected")?;
        confirmation.ask_for_name(consequence, name)
    }
}
