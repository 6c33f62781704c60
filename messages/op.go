package messages

// PutOp is the operation of a Write that stores value under key. The operation keeps both.
func PutOp(key, value []byte) *Op { return &Op{Op: &Op_Put{Put: &Put{Key: key, Value: value}}} }

// DeleteOp is the operation of a Write that removes key, which need not be there. The operation keeps key.
func DeleteOp(key []byte) *Op { return &Op{Op: &Op_Delete{Delete: &Delete{Key: key}}} }

// DeleteRangeOp is the operation of a Write that removes every key in [start, end). The operation keeps both.
func DeleteRangeOp(start, end []byte) *Op {
	return &Op{Op: &Op_DeleteRange{DeleteRange: &DeleteRange{Start: start, End: end}}}
}

// IfAbsent is the condition of a Write that there is no row of key.
func IfAbsent(key []byte) *Condition {
	return &Condition{Key: key, Want: &Condition_Absent{Absent: true}}
}

// IfEquals is the condition of a Write that the row of key is there and has exactly these bytes.
func IfEquals(key, value []byte) *Condition {
	return &Condition{Key: key, Want: &Condition_Equals{Equals: value}}
}
