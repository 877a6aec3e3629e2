//! The loop that keeps ready what the end needs.
//!
//! Owns its rhythm: the replica that leads looks now and then, for nothing here is urgent but that an account which
//! somebody deletes alone is let go while its tokens still count. Never decides (see [`super::plan`]).

use std::time::Duration;

use egret_runtime::apply::{Category, Error, How, Part, amend, apply, within_limit};
use egret_runtime::describe;
use egret_runtime::home::NAMESPACE;
use egret_runtime::live::Pulse;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{guarded, plan, rights};
use crate::lease::Lead;
use crate::write::MANAGER;

/// The tokens of an account that is being deleted count for a minute.
const EVERY: Duration = Duration::from_secs(15);

/// Whatever somebody else has put there has to go: these roles are Egret's own.
const RIGHTS: How = How {
    manager: MANAGER,
    part: Part::Object,
    force: true,
    if_unchanged: true,
};

/// Keeps the objects.
pub struct Guard {
    client: Client,
    pulse: Pulse,
}

impl Guard {
    /// Writes through this client.
    pub fn new(writing: &Client, pulse: Pulse) -> Self {
        Self {
            client: writing.clone(),
            pulse,
        }
    }

    /// Keeps them while this replica leads, until `end`. A look that is under way at the end is finished.
    pub async fn run(self, mut lead: Lead, end: impl Future<Output = ()>) {
        tokio::pin!(end);
        loop {
            let leads = async { lead.wait_for(|leads| *leads).await.is_ok() };
            tokio::select! {
                goes_on = self.pulse.through(leads) => if !goes_on { return },
                () = &mut end => return,
            }
            match self.look().await {
                Ok(()) => {}
                Err(error)
                    if matches!(error.category(), Category::NotLeading | Category::Conflict) => {}
                Err(error) => {
                    let (category, error) = (error.category().as_str(), describe(&error));
                    warn!(
                        category,
                        error,
                        "what an uninstall needs is not guarded, will retry: check the operator's roles"
                    );
                }
            }
            tokio::select! {
                () = self.pulse.through(sleep(EVERY)) => {}
                () = &mut end => return,
            }
        }
    }

    /// Brings everything to what it should be.
    async fn look(&self) -> Result<(), Error> {
        let mut objects = Vec::new();
        for (api, name) in guarded(&self.client) {
            let object = within_limit(api.get_opt(name)).await?;
            objects.extend(object.map(|object| (api, name, object)));
        }
        // The last: an object that was deleted with its namespace is not taken for one that was deleted alone.
        let namespaces = Api::<Namespace>::all(self.client.clone());
        let namespace = within_limit(namespaces.get_opt(NAMESPACE)).await?;
        let stays = namespace.filter(|found| found.metadata.deletion_timestamp.is_none());
        let Some(uid) = stays.and_then(|namespace| namespace.metadata.uid) else {
            return Ok(());
        };
        // Before the finalizers, which could not be taken away without.
        self.give_rights(&uid).await?;
        for (api, name, object) in objects {
            self.pulse.beat();
            if let Some(finalizers) = plan::guarded(&object.metadata) {
                let patch = json!({"metadata": {"finalizers": finalizers}});
                amend(&api, &object, &patch, MANAGER, Part::Object).await?;
                info!(name, ?finalizers, "guarded for an uninstall");
            }
        }
        Ok(())
    }

    async fn give_rights(&self, namespace_uid: &str) -> Result<(), Error> {
        let roles = Api::<ClusterRole>::all(self.client.clone());
        let bindings = Api::<ClusterRoleBinding>::all(self.client.clone());
        for rights in rights::all() {
            self.pulse.beat();
            let name = rights.name;
            let current = within_limit(roles.get_opt(name)).await?;
            let wanted = rights.role(namespace_uid);
            apply(&roles, name, current.as_ref(), &wanted, RIGHTS).await?;
            let current = within_limit(bindings.get_opt(name)).await?;
            let wanted = rights.binding(namespace_uid);
            apply(&bindings, name, current.as_ref(), &wanted, RIGHTS).await?;
        }
        Ok(())
    }
}
