package manifest

import (
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// operator is a clause's operator as the file names it.
type operator struct {
	name string
	op   flagv1.Operator
	// text: the values can only be texts, so that a bare number is a slip.
	text bool
}

var operators = []operator{
	{"in", flagv1.Operator_OPERATOR_IN, false},
	{"contains", flagv1.Operator_OPERATOR_CONTAINS, true},
	{"startsWith", flagv1.Operator_OPERATOR_STARTS_WITH, true},
	{"endsWith", flagv1.Operator_OPERATOR_ENDS_WITH, true},
	{"matches", flagv1.Operator_OPERATOR_MATCHES, true},
	{"lessThan", flagv1.Operator_OPERATOR_LESS_THAN, false},
	{"lessThanOrEqual", flagv1.Operator_OPERATOR_LESS_THAN_OR_EQUAL, false},
	{"greaterThan", flagv1.Operator_OPERATOR_GREATER_THAN, false},
	{"greaterThanOrEqual", flagv1.Operator_OPERATOR_GREATER_THAN_OR_EQUAL, false},
	{"before", flagv1.Operator_OPERATOR_BEFORE, false},
	{"after", flagv1.Operator_OPERATOR_AFTER, false},
	{"semverEquals", flagv1.Operator_OPERATOR_SEMVER_EQUALS, true},
	{"semverLessThan", flagv1.Operator_OPERATOR_SEMVER_LESS_THAN, true},
	{"semverLessThanOrEqual", flagv1.Operator_OPERATOR_SEMVER_LESS_THAN_OR_EQUAL, true},
	{"semverGreaterThan", flagv1.Operator_OPERATOR_SEMVER_GREATER_THAN, true},
	{"semverGreaterThanOrEqual", flagv1.Operator_OPERATOR_SEMVER_GREATER_THAN_OR_EQUAL, true},
	{"semverSameMajor", flagv1.Operator_OPERATOR_SEMVER_SAME_MAJOR, true},
	{"semverSameMinor", flagv1.Operator_OPERATOR_SEMVER_SAME_MINOR, true},
	{"inSegment", flagv1.Operator_OPERATOR_IN_SEGMENT, true},
	{"exists", flagv1.Operator_OPERATOR_EXISTS, false},
}

func operatorNamed(name string) (operator, bool) {
	for _, o := range operators {
		if o.name == name {
			return o, true
		}
	}
	return operator{}, false
}

// OperatorName is how files name an operator; empty: they do not.
func OperatorName(op flagv1.Operator) string {
	for _, o := range operators {
		if o.op == op {
			return o.name
		}
	}
	return ""
}

// valueType is a flag's type as the file names it.
type valueType struct {
	name string
	t    flagv1.ValueType
}

var valueTypes = []valueType{
	{"boolean", flagv1.ValueType_VALUE_TYPE_BOOLEAN},
	{"string", flagv1.ValueType_VALUE_TYPE_STRING},
	{"integer", flagv1.ValueType_VALUE_TYPE_INTEGER},
	{"double", flagv1.ValueType_VALUE_TYPE_DOUBLE},
	{"object", flagv1.ValueType_VALUE_TYPE_OBJECT},
}
