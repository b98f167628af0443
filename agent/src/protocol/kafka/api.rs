//! The requests of Kafka by their keys: <https://kafka.apache.org/protocol#protocol_api_keys>.
//!
//! Names, versions and first flexible versions are those of Kafka 3.9; of 4.x come later versions of
//! Produce and Fetch.

use ErrorAt::{Coded, Coordinators, First, Metadata, Named, Throttled, Topics, Unknown};
use GroupAt::{
    Coordinator as GroupCoordinator, First as GroupFirst, Nowhere as NoGroup,
    Offsets as GroupOffsets, Second as GroupSecond, Several as GroupSeveral,
    Transaction as GroupTransaction,
};
use Kind::{Call, Fetch, Login, Produce, Settle, Silent, Waiting};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Messages are sent.
    Produce,
    /// Messages are asked for.
    Fetch,
    /// A span by the request's name.
    Call,
    /// The same, of a request that acknowledges messages.
    Settle,
    /// The same, but the answer comes when the other members of the group are ready.
    Waiting,
    /// A span if it fails.
    Login,
    /// None: keep-alives, negotiation, telemetry, and what brokers say to each other.
    Silent,
}

/// Where a request names its consumer group, after the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupAt {
    Nowhere,
    /// The first field.
    First,
    /// After another text.
    Second,
    /// After the transaction and its producer.
    Transaction,
    /// The first field of an array.
    Several,
    /// That of `OffsetFetch`.
    Offsets,
    /// That of `FindCoordinator`.
    Coordinator,
}

/// Where an answer has its first error code, after the header. The numbers are versions, from which on
/// the time of throttling comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorAt {
    /// It is not looked for.
    Unknown,
    First,
    Throttled(i16),
    /// Topics by name, with partitions that begin with their number and error code.
    Topics(i16),
    /// Items that begin with a name and the error code.
    Named(i16),
    /// Items that begin with the error code.
    Coded(i16),
    Coordinators,
    Metadata,
}

/// A request's properties.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) key: i16,
    pub(super) name: &'static str,
    /// The last version whose layout is known.
    pub(super) latest: i16,
    /// The first version with compact lengths and tagged fields (KIP-482).
    pub(super) flexible: i16,
    pub(super) kind: Kind,
    pub(super) group: GroupAt,
    pub(super) error: ErrorAt,
}

const NEVER: i16 = i16::MAX;

const fn api(
    key: i16,
    name: &'static str,
    latest: i16,
    flexible: i16,
    kind: Kind,
    group: GroupAt,
    error: ErrorAt,
) -> Api {
    Api {
        key,
        name,
        latest,
        flexible,
        kind,
        group,
        error,
    }
}

/// The request of a key.
pub(super) fn find(key: i16) -> Option<&'static Api> {
    APIS.get(usize::try_from(key).ok()?)
}

/// In the order of their keys.
#[rustfmt::skip]
static APIS: &[Api] = &[
    api(0, "Produce", 13, 9, Produce, NoGroup, Unknown),
    api(1, "Fetch", 18, 12, Fetch, NoGroup, Unknown),
    api(2, "ListOffsets", 9, 6, Call, NoGroup, Topics(2)),
    api(3, "Metadata", 12, 9, Call, NoGroup, Metadata),
    api(4, "LeaderAndIsr", 7, 4, Silent, NoGroup, Unknown),
    api(5, "StopReplica", 4, 2, Silent, NoGroup, Unknown),
    api(6, "UpdateMetadata", 8, 6, Silent, NoGroup, Unknown),
    api(7, "ControlledShutdown", 3, 3, Silent, NoGroup, Unknown),
    api(8, "OffsetCommit", 9, 8, Settle, GroupFirst, Topics(3)),
    api(9, "OffsetFetch", 9, 6, Call, GroupOffsets, Unknown),
    api(10, "FindCoordinator", 6, 3, Call, GroupCoordinator, Coordinators),
    api(11, "JoinGroup", 9, 6, Waiting, GroupFirst, Throttled(2)),
    api(12, "Heartbeat", 4, 4, Silent, NoGroup, Unknown),
    api(13, "LeaveGroup", 5, 4, Call, GroupFirst, Throttled(1)),
    api(14, "SyncGroup", 5, 4, Waiting, GroupFirst, Throttled(1)),
    api(15, "DescribeGroups", 5, 5, Call, GroupSeveral, Coded(1)),
    api(16, "ListGroups", 5, 3, Call, NoGroup, Throttled(1)),
    api(17, "SaslHandshake", 1, NEVER, Login, NoGroup, First),
    api(18, "ApiVersions", 4, 3, Silent, NoGroup, Unknown),
    api(19, "CreateTopics", 7, 5, Call, NoGroup, Named(2)),
    api(20, "DeleteTopics", 6, 4, Call, NoGroup, Named(1)),
    api(21, "DeleteRecords", 2, 2, Call, NoGroup, Unknown),
    api(22, "InitProducerId", 5, 2, Call, NoGroup, Throttled(0)),
    api(23, "OffsetForLeaderEpoch", 4, 4, Silent, NoGroup, Unknown),
    api(24, "AddPartitionsToTxn", 5, 3, Call, NoGroup, Topics(0)),
    api(25, "AddOffsetsToTxn", 4, 3, Call, GroupTransaction, Throttled(0)),
    api(26, "EndTxn", 4, 3, Call, NoGroup, Throttled(0)),
    api(27, "WriteTxnMarkers", 1, 1, Silent, NoGroup, Unknown),
    api(28, "TxnOffsetCommit", 4, 3, Settle, GroupSecond, Topics(0)),
    api(29, "DescribeAcls", 3, 2, Call, NoGroup, Throttled(0)),
    api(30, "CreateAcls", 3, 2, Call, NoGroup, Coded(0)),
    api(31, "DeleteAcls", 3, 2, Call, NoGroup, Coded(0)),
    api(32, "DescribeConfigs", 4, 4, Call, NoGroup, Coded(0)),
    api(33, "AlterConfigs", 2, 2, Call, NoGroup, Coded(0)),
    api(34, "AlterReplicaLogDirs", 2, 2, Call, NoGroup, Unknown),
    api(35, "DescribeLogDirs", 4, 2, Call, NoGroup, Unknown),
    api(36, "SaslAuthenticate", 2, 2, Login, NoGroup, First),
    api(37, "CreatePartitions", 3, 2, Call, NoGroup, Named(0)),
    api(38, "CreateDelegationToken", 3, 2, Call, NoGroup, First),
    api(39, "RenewDelegationToken", 2, 2, Call, NoGroup, First),
    api(40, "ExpireDelegationToken", 2, 2, Call, NoGroup, First),
    api(41, "DescribeDelegationToken", 3, 2, Call, NoGroup, First),
    api(42, "DeleteGroups", 2, 2, Call, GroupSeveral, Named(0)),
    api(43, "ElectLeaders", 2, 2, Call, NoGroup, Throttled(0)),
    api(44, "IncrementalAlterConfigs", 1, 1, Call, NoGroup, Coded(0)),
    api(45, "AlterPartitionReassignments", 0, 0, Call, NoGroup, Throttled(0)),
    api(46, "ListPartitionReassignments", 0, 0, Call, NoGroup, Throttled(0)),
    api(47, "OffsetDelete", 0, NEVER, Call, GroupFirst, First),
    api(48, "DescribeClientQuotas", 1, 1, Call, NoGroup, Throttled(0)),
    api(49, "AlterClientQuotas", 1, 1, Call, NoGroup, Unknown),
    api(50, "DescribeUserScramCredentials", 0, 0, Call, NoGroup, Throttled(0)),
    api(51, "AlterUserScramCredentials", 0, 0, Call, NoGroup, Unknown),
    api(52, "Vote", 1, 0, Silent, NoGroup, Unknown),
    api(53, "BeginQuorumEpoch", 1, 1, Silent, NoGroup, Unknown),
    api(54, "EndQuorumEpoch", 1, 1, Silent, NoGroup, Unknown),
    api(55, "DescribeQuorum", 2, 0, Call, NoGroup, First),
    api(56, "AlterPartition", 3, 0, Silent, NoGroup, Unknown),
    api(57, "UpdateFeatures", 1, 0, Call, NoGroup, Throttled(0)),
    api(58, "Envelope", 0, 0, Silent, NoGroup, Unknown),
    api(59, "FetchSnapshot", 1, 0, Silent, NoGroup, Unknown),
    api(60, "DescribeCluster", 1, 0, Call, NoGroup, Throttled(0)),
    api(61, "DescribeProducers", 0, 0, Call, NoGroup, Unknown),
    api(62, "BrokerRegistration", 4, 0, Silent, NoGroup, Unknown),
    api(63, "BrokerHeartbeat", 1, 0, Silent, NoGroup, Unknown),
    api(64, "UnregisterBroker", 0, 0, Call, NoGroup, Throttled(0)),
    api(65, "DescribeTransactions", 0, 0, Call, NoGroup, Coded(0)),
    api(66, "ListTransactions", 1, 0, Call, NoGroup, Throttled(0)),
    api(67, "AllocateProducerIds", 0, 0, Silent, NoGroup, Unknown),
    api(68, "ConsumerGroupHeartbeat", 0, 0, Silent, NoGroup, Unknown),
    api(69, "ConsumerGroupDescribe", 0, 0, Call, GroupSeveral, Coded(0)),
    api(70, "ControllerRegistration", 0, 0, Silent, NoGroup, Unknown),
    api(71, "GetTelemetrySubscriptions", 0, 0, Silent, NoGroup, Unknown),
    api(72, "PushTelemetry", 0, 0, Silent, NoGroup, Unknown),
    api(73, "AssignReplicasToDirs", 0, 0, Silent, NoGroup, Unknown),
    api(74, "ListClientMetricsResources", 0, 0, Call, NoGroup, Throttled(0)),
    api(75, "DescribeTopicPartitions", 0, 0, Call, NoGroup, Unknown),
    api(76, "ShareGroupHeartbeat", 0, 0, Silent, NoGroup, Unknown),
    api(77, "ShareGroupDescribe", 0, 0, Call, NoGroup, Unknown),
    api(78, "ShareFetch", 0, 0, Call, NoGroup, Unknown),
    api(79, "ShareAcknowledge", 0, 0, Call, GroupFirst, Throttled(0)),
    api(80, "AddRaftVoter", 0, 0, Silent, NoGroup, Unknown),
    api(81, "RemoveRaftVoter", 0, 0, Silent, NoGroup, Unknown),
    api(82, "UpdateRaftVoter", 0, 0, Silent, NoGroup, Unknown),
    api(83, "InitializeShareGroupState", 0, 0, Silent, NoGroup, Unknown),
    api(84, "ReadShareGroupState", 0, 0, Silent, NoGroup, Unknown),
    api(85, "WriteShareGroupState", 0, 0, Silent, NoGroup, Unknown),
    api(86, "DeleteShareGroupState", 0, 0, Silent, NoGroup, Unknown),
    api(87, "ReadShareGroupStateSummary", 0, 0, Silent, NoGroup, Unknown),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_places() {
        for (place, api) in APIS.iter().enumerate() {
            assert_eq!(find(api.key).map(|api| api.name), Some(APIS[place].name));
        }
        assert!(find(-1).is_none() && find(1000).is_none());
    }
}
