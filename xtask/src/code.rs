//! One file of Rust, measured: which of its lines are tests, and how long its functions are.
//!
//! Owns the reading of the syntax. Functions inside macros are not seen. Never judges a number.

use std::ops::RangeInclusive;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, FnArg, ImplItem, ImplItemFn, Item, ItemFn, ItemMod, Meta, Signature};
use syn::{TraitItem, TraitItemFn};

/// What is in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Code {
    /// Lines outside of tests, with comments and blank ones.
    pub lines: usize,
    /// Lines of items that are compiled for tests only.
    pub test_lines: usize,
    /// All functions that have a body, in the order in which they begin.
    pub functions: Vec<Function>,
    /// Modules in files of their own that are compiled for tests only.
    pub test_modules: Vec<String>,
}

/// A function with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of its `fn`, counted from 1.
    pub line: usize,
    /// Lines from its `fn` to its closing brace.
    pub length: usize,
    /// How many values it takes beside `self`.
    pub parameters: usize,
    /// Whether it is compiled for tests only.
    pub is_test: bool,
}

/// Measures a file. Fails if it is not Rust.
pub fn read(text: &str) -> syn::Result<Code> {
    let mut reading = Reading::default();
    reading.visit_file(&syn::parse_file(text)?);
    let mut code = reading.code;
    code.lines = text.lines().count().saturating_sub(code.test_lines);
    code.functions.sort_by_key(|function| function.line);
    Ok(code)
}

#[derive(Default)]
struct Reading {
    code: Code,
    is_in_tests: bool,
}

impl Reading {
    /// Goes into an item, as into tests if it is compiled for them only.
    fn enter(&mut self, item: &impl Spanned, attributes: &[Attribute], go: impl FnOnce(&mut Self)) {
        let begins_tests = !self.is_in_tests && attributes.iter().any(is_for_tests);
        if begins_tests {
            self.code.test_lines += lines(item.span()).count();
        }
        self.is_in_tests |= begins_tests;
        go(self);
        self.is_in_tests &= !begins_tests;
    }

    fn note(&mut self, signature: &Signature, body: &Block) {
        let first = signature.fn_token.span.start().line;
        let parameters = signature.inputs.iter();
        self.code.functions.push(Function {
            name: signature.ident.to_string(),
            line: first,
            length: body.brace_token.span.close().end().line + 1 - first,
            parameters: parameters
                .filter(|one| matches!(one, FnArg::Typed(_)))
                .count(),
            is_test: self.is_in_tests,
        });
    }
}

impl<'a> Visit<'a> for Reading {
    fn visit_item(&mut self, item: &'a Item) {
        self.enter(item, attributes(item), |reading| {
            visit::visit_item(reading, item);
        });
    }

    fn visit_impl_item(&mut self, item: &'a ImplItem) {
        let attributes = match item {
            ImplItem::Fn(function) => function.attrs.as_slice(),
            _ => &[],
        };
        self.enter(item, attributes, |reading| {
            visit::visit_impl_item(reading, item);
        });
    }

    fn visit_trait_item(&mut self, item: &'a TraitItem) {
        let attributes = match item {
            TraitItem::Fn(function) => function.attrs.as_slice(),
            _ => &[],
        };
        self.enter(item, attributes, |reading| {
            visit::visit_trait_item(reading, item);
        });
    }

    fn visit_item_mod(&mut self, module: &'a ItemMod) {
        if module.content.is_none() && self.is_in_tests {
            self.code.test_modules.push(module.ident.to_string());
        }
        visit::visit_item_mod(self, module);
    }

    fn visit_item_fn(&mut self, function: &'a ItemFn) {
        self.note(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'a ImplItemFn) {
        self.note(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'a TraitItemFn) {
        if let Some(body) = &function.default {
            self.note(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

fn lines(span: Span) -> RangeInclusive<usize> {
    span.start().line..=span.end().line
}

/// Of those items that can hold a test or what only tests use.
fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Mod(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Const(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else {
        return attribute.path().is_ident("test");
    };
    attribute.path().is_ident("cfg") && list.tokens.to_string() == "test"
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = r"//! Words.

pub(crate) const fn one<T>(x: T) -> T {
    // Why.
    x
}

impl Trait for Type {
    #[expect(reason)]
    async fn two(
        &self,
        many: BTreeMap<NodeName, IpAddr>,
    ) -> Result<(), Error>
    where
        Self: Sized,
    {
        fn inner() {}
        inner(|x| x)
    }

    #[cfg(test)]
    fn three() {}
}

trait Trait {
    fn declared(&self) -> impl Future<Output = u8>;
}

#[cfg(test)]
mod fake;

#[cfg(test)]
mod tests {
    #[test]
    fn four() {}
}
";

    fn functions(tests: bool) -> Vec<(String, usize, usize)> {
        let functions = read(CODE).unwrap().functions.into_iter();
        functions
            .filter(|one| one.is_test == tests)
            .map(|one| (one.name, one.length, one.parameters))
            .collect()
    }

    #[test]
    fn a_function_reaches_from_its_fn_to_its_brace_and_self_is_no_parameter() {
        let expected = [("one", 4, 1), ("two", 10, 1), ("inner", 1, 0)];
        assert_eq!(
            functions(false),
            expected.map(|(name, length, count)| (name.to_owned(), length, count))
        );
    }

    #[test]
    fn functions_for_tests_are_told_apart_wherever_they_are() {
        let names: Vec<_> = functions(true).into_iter().map(|one| one.0).collect();
        assert_eq!(names, ["three", "four"]);
    }

    #[test]
    fn lines_of_tests_are_those_of_items_for_tests_with_their_attributes() {
        let code = read(CODE).unwrap();
        assert_eq!((code.lines, code.test_lines), (27, 9));
    }

    #[test]
    fn a_file_that_is_for_tests_only_is_named() {
        assert_eq!(read(CODE).unwrap().test_modules, ["fake"]);
    }

    #[test]
    fn what_is_no_rust_is_refused_with_its_line() {
        let error = read("fn a() {}\nfn {").unwrap_err();
        assert_eq!(error.span().start().line, 2);
    }
}
