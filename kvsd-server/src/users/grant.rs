//! What a user may do: roles on tables.
//!
//! ```text
//! write@orders-*,read@default
//! `---' `------'
//! role  pattern: a table's name, the start of names and '*', or '*' alone
//! ```

use std::fmt;
use std::str::FromStr;

use kvsd::types::check_table_name;
use thiserror::Error;

/// The most grants that one user has.
pub const MAX_GRANTS: usize = 64;

/// What may be done with a table. Each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Read records, scan, watch, and see how much the table holds.
    Read,
    /// Also change records; that makes the table, if there is none.
    Write,
    /// Also drop the table.
    Admin,
}

/// Which tables are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Box<str>);

/// A role on the tables of a pattern.
///
/// ```
/// use kvsd_server::users::{Grant, Role};
///
/// let grant: Grant = "write@orders-*".parse()?;
/// assert_eq!(grant.role(), Role::Write);
/// assert!(grant.pattern().matches("orders-2026"));
/// assert!(!grant.pattern().matches("orders"));
/// assert_eq!(grant.to_string(), "write@orders-*");
/// # Ok::<(), kvsd_server::users::GrantError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    role: Role,
    pattern: Pattern,
}

/// All that one user may do: nothing, where nothing is granted. One role a pattern, at most
/// [`MAX_GRANTS`].
///
/// ```
/// use kvsd_server::users::{Grants, Role};
///
/// let grants: Grants = "read@*,write@orders".parse()?;
/// assert!(grants.allow(Role::Write, "orders"));
/// assert!(grants.allow(Role::Read, "users"));
/// assert!(!grants.allow(Role::Write, "users"));
/// assert!(!Grants::default().allow(Role::Read, "users"));
/// # Ok::<(), kvsd_server::users::GrantError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants(Vec<Grant>);

impl Role {
    /// All roles, the one that allows least first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// The role as text: `read`, `write` or `admin`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl Pattern {
    /// Whether the table of this name is meant.
    #[must_use]
    pub fn matches(&self, table: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => table.starts_with(start),
            None => *self.0 == *table,
        }
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Grant {
    /// The role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// On which tables.
    #[must_use]
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }
}

impl Grants {
    /// Every role on every table: `admin@*`.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![Grant { role: Role::Admin, pattern: Pattern("*".into()) }])
    }

    /// Whether so much may be done with the table of this name.
    #[must_use]
    pub fn allow(&self, role: Role, table: &str) -> bool {
        self.0.iter().any(|grant| grant.role >= role && grant.pattern.matches(table))
    }

    /// Adds a grant; one with the same pattern gives way to it.
    ///
    /// # Errors
    ///
    /// [`GrantError::TooMany`]: there are [`MAX_GRANTS`] others already.
    pub fn add(&mut self, grant: Grant) -> Result<(), GrantError> {
        if let Some(same) = self.0.iter_mut().find(|other| other.pattern == grant.pattern) {
            *same = grant;
            return Ok(());
        }
        if self.0.len() >= MAX_GRANTS {
            return Err(GrantError::TooMany);
        }
        self.0.push(grant);
        Ok(())
    }

    /// Takes a grant away. False if it is not one of these.
    pub fn remove(&mut self, grant: &Grant) -> bool {
        let before = self.0.len();
        self.0.retain(|other| other != grant);
        self.0.len() < before
    }

    /// Whether nothing is granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The grants, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }
}

impl FromStr for Pattern {
    type Err = GrantError;

    /// # Errors
    ///
    /// [`GrantError::Pattern`] for what no table's name can be or begin with.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let name = text.strip_suffix('*').unwrap_or(text);
        let is_all = text == "*";
        if !is_all && check_table_name(name).is_err() {
            return Err(GrantError::Pattern);
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    /// # Errors
    ///
    /// [`GrantError`] says which part is not as it must be.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let (role, pattern) = text.split_once('@').ok_or(GrantError::NoPattern)?;
        let role = Role::ALL.into_iter().find(|known| known.as_str() == role);
        Ok(Self { role: role.ok_or(GrantError::Role)?, pattern: pattern.parse()? })
    }
}

impl FromStr for Grants {
    type Err = GrantError;

    /// Reads grants with commas between them; an empty text is none.
    ///
    /// # Errors
    ///
    /// [`GrantError`] of the first grant that is not as it must be, or names a pattern again.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let mut grants = Self::default();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let grant: Grant = part.parse()?;
            if grants.iter().any(|other| other.pattern == grant.pattern) {
                return Err(GrantError::Twice);
            }
            grants.add(grant)?;
        }
        Ok(grants)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.role, self.pattern)
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, grant) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{grant}")?;
        }
        Ok(())
    }
}

/// Why a text is no grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GrantError {
    /// There is no `@`.
    #[error("write a grant as ROLE@TABLE, for example write@orders, read@logs-* or admin@*")]
    NoPattern,
    /// The role is none.
    #[error("a role is read, write or admin")]
    Role,
    /// The pattern is none.
    #[error("a grant names a table, the start of tables' names and '*' behind it, or '*'")]
    Pattern,
    /// Two grants have the same pattern.
    #[error("a pattern stands in one grant only: a role includes those below it")]
    Twice,
    /// There are more than [`MAX_GRANTS`].
    #[error("a user has at most {MAX_GRANTS} grants")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grants(text: &str) -> Grants {
        text.parse().unwrap()
    }

    #[test]
    fn a_role_includes_those_before_it_and_no_other() {
        for (place, granted) in Role::ALL.into_iter().enumerate() {
            let grants = grants(&format!("{granted}@t"));
            for (asked_place, asked) in Role::ALL.into_iter().enumerate() {
                assert_eq!(grants.allow(asked, "t"), asked_place <= place, "{granted} {asked}");
                assert!(!grants.allow(asked, "u"), "another table");
            }
        }
    }

    #[test]
    fn a_pattern_is_a_name_a_beginning_or_all() {
        let is_in = |pattern: &str, table: &str| {
            grants(&format!("read@{pattern}")).allow(Role::Read, table)
        };
        assert!(
            is_in("orders", "orders") && !is_in("orders", "orders2") && !is_in("orders", "order")
        );
        assert!(is_in("or*", "orders") && is_in("or*", "or") && !is_in("or*", "o"));
        assert!(is_in("*", "orders") && is_in("*", "x"));
        for none in ["", "**", "a*b", "*a", "a b", "../x", "-a", "a*,", &"x".repeat(65)] {
            assert_eq!(none.parse::<Pattern>(), Err(GrantError::Pattern), "{none:?}");
        }
    }

    #[test]
    fn the_highest_grant_that_matches_counts() {
        let grants = grants("read@*,admin@a*,write@abc");
        assert!(grants.allow(Role::Admin, "abc"));
        assert!(!grants.allow(Role::Write, "b"));
    }

    #[test]
    fn what_is_no_grant_says_how_to_write_one() {
        for (text, error) in [
            ("write", GrantError::NoPattern),
            ("write:orders", GrantError::NoPattern),
            ("owner@orders", GrantError::Role),
            ("Write@orders", GrantError::Role),
            ("write@", GrantError::Pattern),
            ("read@a,", GrantError::NoPattern),
            ("read@a,write@a", GrantError::Twice),
        ] {
            assert_eq!(text.parse::<Grants>(), Err(error), "{text}");
        }
        assert!(GrantError::NoPattern.to_string().contains("write@orders"));
    }

    #[test]
    fn a_second_grant_on_a_pattern_takes_the_place_of_the_first_and_there_is_a_bound() {
        let mut grants = grants("read@a,read@b");
        grants.add("write@a".parse().unwrap()).unwrap();
        assert_eq!(grants.to_string(), "write@a,read@b");
        assert!(!grants.remove(&"read@a".parse().unwrap()));
        assert!(grants.remove(&"write@a".parse().unwrap()));
        assert_eq!(grants.to_string(), "read@b");
        for number in 1..MAX_GRANTS {
            grants.add(format!("read@t{number}").parse().unwrap()).unwrap();
        }
        assert_eq!(grants.add("read@one-more".parse().unwrap()), Err(GrantError::TooMany));
        grants.add("write@b".parse().unwrap()).unwrap();
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_what_is_read_is_written_back(text in ".*|([a-z]{0,6}@?[a-z*]{0,3},?){0,4}|(read@[a-z]{1,3}\\*?,){0,3}admin@\\*") {
            if let Ok(grants) = text.parse::<Grants>() {
                prop_assert_eq!(grants.to_string(), text);
            }
        }
    }
}
