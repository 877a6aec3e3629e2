//! The objects that wait to be written.
//!
//! Owns their order: first come, first served, each once. Never knows what is to be written.

use std::collections::{BTreeSet, VecDeque};

use egret_domain::control::Object;

/// Objects in the order in which their turn comes.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    order: VecDeque<Object>,
    waiting: BTreeSet<Object>,
}

impl Queue {
    /// Adds an object at the end, unless it waits already.
    pub(crate) fn push(&mut self, object: Object) {
        if self.waiting.insert(object.clone()) {
            self.order.push_back(object);
        }
    }

    /// Takes the first object that is free. Those in front of it that are not keep their places.
    pub(crate) fn take(&mut self, is_free: impl Fn(&Object) -> bool) -> Option<Object> {
        let position = self.order.iter().position(is_free)?;
        let object = self.order.remove(position)?;
        self.waiting.remove(&object);
        Some(object)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> [Object; 3] {
        [
            Object::Egress("z".into()),
            Object::Pool("p".into()),
            Object::Egress("a".into()),
        ]
    }

    #[test]
    fn who_came_first_is_served_first_whatever_its_name() {
        let mut queue = Queue::default();
        for object in objects() {
            queue.push(object);
        }
        queue.push(Object::Egress("z".into()));
        let served: Vec<_> = std::iter::from_fn(|| queue.take(|_| true)).collect();
        assert_eq!(served, objects());
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn one_that_is_busy_is_passed_over_and_keeps_its_place() {
        let [z, p, a] = objects();
        let mut queue = Queue::default();
        for object in objects() {
            queue.push(object);
        }
        assert_eq!(queue.take(|object| *object != z), Some(p));
        assert_eq!(queue.take(|_| true), Some(z));
        assert_eq!(queue.take(|_| true), Some(a));
    }
}
