//! Rules and races as scripts, random worlds as properties, budgets.

mod budgets;
mod peers;
mod rules;
mod script;
mod sdk;
