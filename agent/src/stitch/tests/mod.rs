//! Rules and races as scripts, random worlds as properties, budgets.

mod budgets;
mod offspring;
mod options;
mod peers;
mod rules;
mod sampling;
mod script;
mod sdk;
