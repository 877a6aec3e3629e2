//! When this operator decides, and when another does.
//!
//! Owns the rule that whoever begins to decide takes over what the objects say: what it may have decided before, and did
//! not get to write, is forgotten. Never decides itself.

use super::{Control, Dirty, take};
use crate::addresses::Addresses;
use crate::groups::Groups;

use super::placing::Places;

impl Control {
    /// Everything that there is has been seen, and this operator decides from now on.
    pub(super) fn begin(&mut self) {
        self.is_synced = true;
        if take(&mut self.is_superseded) {
            self.dirty.limits.clear();
        }
        self.addresses = Addresses::default();
        let moves = self.places.moves.forgotten();
        self.places = Places::of(self.nodes.keys(), moves);
        self.agents.reopen();
        self.waiting = Groups::default();
        self.pools.mark_all_free();
        for entry in self.egresses.values_mut() {
            entry.grant = None;
            entry.refused = None;
            entry.place = None;
            entry.candidates.clear();
        }
        let everybody = || self.egresses.keys().cloned().collect();
        self.dirty = Dirty {
            addresses: everybody(),
            places: everybody(),
            egresses: everybody(),
            pools: self.pools.names().cloned().collect(),
            agents: true,
            ..self.unheard()
        };
    }

    /// This operator does not decide. Facts are noted all the same; what they touch need not be, for [`Self::begin`] looks at
    /// everything.
    pub(super) fn rest(&mut self) {
        self.is_synced = false;
        self.dirty = self.unheard();
    }

    /// Another operator decides. Until this one does, what it sees is the other's to tell.
    pub(super) fn step_back(&mut self) {
        self.is_superseded = true;
        self.rest();
    }

    /// What people have not been told yet.
    fn unheard(&mut self) -> Dirty {
        Dirty {
            limits: take(&mut self.dirty.limits),
            ..Dirty::default()
        }
    }
}
