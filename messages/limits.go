package messages

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"
	timestamppb "google.golang.org/protobuf/types/known/timestamppb"
)

// The limits of a request.
const (
	// MaxKey is the longest key, in bytes. A key has at least one byte.
	MaxKey = 4 << 10
	// MaxValue is the longest value, in bytes. A value may be empty.
	MaxValue = 16 << 20
	// MaxWrite is the most a Write may hold: the length of all its keys, values and
	// conditions, in bytes.
	MaxWrite = 64 << 20
	// MaxPage is the most a Page holds, in bytes of keys and values, unless its one entry is larger.
	MaxPage = 1 << 20
	// MaxLabel is the longest label of a run, in bytes.
	MaxLabel = 256
	// MinRate is the least, in bytes a second, that a verify may be asked to read at: one that is slower is taken for a disk
	// that hangs.
	MinRate = 1 << 20
)

// faults gathers what is wrong with one request, so that the answer names all of it.
type faults struct {
	texts []string
	more  int
	// where and index name the part of the request being checked, for the text.
	where string
	index int
}

// most is how many faults one answer spells out; a Write of a million bad keys stays readable.
const most = 8

func (f *faults) addf(format string, args ...any) {
	if len(f.texts) == most {
		f.more++
		return
	}
	text := fmt.Sprintf(format, args...)
	if f.where != "" {
		text = fmt.Sprintf("%s %d: %s", f.where, f.index, text)
	}
	f.texts = append(f.texts, text)
}

func (f *faults) failure() *Failure {
	if len(f.texts) == 0 {
		return nil
	}
	text := strings.Join(f.texts, "; ")
	if f.more > 0 {
		text += fmt.Sprintf("; and %d more", f.more)
	}
	return Failf(Code_CODE_INVALID_ARGUMENT, "%s", text).
		Advise("a key has 1 B to 4 KiB, a value up to 16 MiB, a Write up to 64 MiB; nothing was written")
}

func (f *faults) key(what string, key []byte) {
	switch {
	case len(key) == 0:
		f.addf("%s is empty, minimum is 1 B", what)
	case len(key) > MaxKey:
		f.addf("%s has %d B, maximum is %d B", what, len(key), MaxKey)
	}
}

func (f *faults) value(what string, value []byte) {
	if len(value) > MaxValue {
		f.addf("%s has %d B, maximum is %d B", what, len(value), MaxValue)
	}
}

func (f *faults) keyRange(start, end []byte) {
	f.key("start", start)
	f.key("end", end)
	if len(start) > 0 && len(end) > 0 && bytes.Compare(start, end) >= 0 {
		f.addf("start %q is not before end %q", start, end)
	}
}

// Check returns what is wrong with the request, all of it, or nil.
func (m *Put) Check() *Failure {
	var f faults
	f.key("key", m.GetKey())
	f.value("value", m.GetValue())
	return f.failure()
}

// Check returns what is wrong with the request, all of it, or nil.
func (m *Delete) Check() *Failure {
	var f faults
	f.key("key", m.GetKey())
	return f.failure()
}

// Check returns what is wrong with the request, all of it, or nil.
func (m *DeleteRange) Check() *Failure {
	var f faults
	f.keyRange(m.GetStart(), m.GetEnd())
	return f.failure()
}

// Check returns what is wrong with the request, all of it, or nil.
func (m *Get) Check() *Failure {
	var f faults
	f.key("key", m.GetKey())
	return f.failure()
}

// Check returns what is wrong with the request, all of it, or nil.
func (m *Scan) Check() *Failure {
	var f faults
	for _, bound := range []struct {
		what string
		key  []byte
	}{{"start", m.GetStart()}, {"end", m.GetEnd()}, {"prefix", m.GetPrefix()}} {
		// One byte more than a key: the start of the page after a longest key.
		if len(bound.key) > MaxKey+1 {
			f.addf("%s has %d B, maximum is %d B", bound.what, len(bound.key), MaxKey+1)
		}
	}
	return f.failure()
}

// Check returns what is wrong with the request, all of it, or nil.
func (m *Write) Check() *Failure {
	var f faults
	if len(m.GetOps()) == 0 {
		f.addf("write has no ops, minimum is 1")
	}
	size := 0
	for i, op := range m.GetOps() {
		f.where, f.index = "op", i
		switch o := op.GetOp().(type) {
		case *Op_Put:
			f.key("key", o.Put.GetKey())
			f.value("value", o.Put.GetValue())
			size += len(o.Put.GetKey()) + len(o.Put.GetValue())
		case *Op_Delete:
			f.key("key", o.Delete.GetKey())
			size += len(o.Delete.GetKey())
		case *Op_DeleteRange:
			f.keyRange(o.DeleteRange.GetStart(), o.DeleteRange.GetEnd())
			size += len(o.DeleteRange.GetStart()) + len(o.DeleteRange.GetEnd())
		default:
			f.addf("is empty")
		}
	}
	for i, c := range m.GetConditions() {
		f.where, f.index = "condition", i
		f.key("key", c.GetKey())
		size += len(c.GetKey())
		switch want := c.GetWant().(type) {
		case *Condition_Absent:
			if !want.Absent {
				f.addf("absent is false, it must be true")
			}
		case *Condition_Equals:
			f.value("value", want.Equals)
			size += len(want.Equals)
		default:
			f.addf("wants nothing")
		}
	}
	f.where = ""
	if size > MaxWrite {
		f.addf("write has %d B, maximum is %d B", size, MaxWrite)
	}
	return f.failure()
}

// Check returns what is wrong with the request, or nil. The run id becomes part of a path.
func (m *Cut) Check() *Failure {
	var f faults
	if !runID.MatchString(m.GetRunId()) {
		f.addf("run id %q is no ULID", m.GetRunId())
	}
	if failure := f.failure(); failure != nil {
		return failure.Advise("send BackupAll to the coordinator; it asks for the cuts")
	}
	return nil
}

var runID = regexp.MustCompile(`^[0-7][0-9A-HJKMNP-TV-Z]{25}$`)

// Check returns what is wrong with the request, all of it, or nil.
func (m *BackupAll) Check() *Failure {
	var f faults
	if len(m.GetLabel()) > MaxLabel {
		f.addf("label has %d B, maximum is %d B", len(m.GetLabel()), MaxLabel)
	}
	if !utf8.ValidString(m.GetLabel()) {
		f.addf("label %q is no UTF-8", m.GetLabel())
	}
	for i, table := range m.GetTables() {
		if err := CheckTableName(table); err != nil {
			f.addf("table %d: %v", i, err)
		}
	}
	if failure := f.failure(); failure != nil {
		return failure.Advise("name tables that exist, and a label of up to 256 B")
	}
	return nil
}

// Check returns what is wrong with the request, all of it, or nil.
func (m *PruneBackups) Check() *Failure {
	var f faults
	for i, table := range m.GetTables() {
		if err := CheckTableName(table); err != nil {
			f.addf("table %d: %v", i, err)
		}
	}
	if failure := f.failure(); failure != nil {
		return failure.Advise("name tables that have backups")
	}
	return nil
}

// Check returns what is wrong with the request, all of it, or nil.
func (m *PinBackup) Check() *Failure {
	var f faults
	if err := CheckTableName(m.GetTable()); err != nil {
		f.addf("%v", err)
	}
	if m.GetBackupId() == "" {
		f.addf("backup id is empty")
	}
	if len(m.GetReason()) > MaxLabel {
		f.addf("reason has %d B, maximum is %d B", len(m.GetReason()), MaxLabel)
	}
	if !utf8.ValidString(m.GetReason()) || !utf8.ValidString(m.GetBackupId()) {
		f.addf("reason %q, or backup id %q, is no UTF-8", m.GetReason(), m.GetBackupId())
	}
	if m.GetUnpin() && m.GetReason() != "" {
		f.addf("a reason is given for an unpin")
	}
	if failure := f.failure(); failure != nil {
		return failure.Advise("name a backup as ListBackups does, and a reason of up to 256 B")
	}
	return nil
}

// Check returns what is wrong with the request, or nil.
func (m *AcknowledgeLoss) Check() *Failure {
	var f faults
	switch named := len(m.GetIds()) > 0; {
	case named && m.GetAll():
		f.addf("losses are named beside all")
	case !named && !m.GetAll():
		f.addf("no loss is named")
	}
	for _, id := range m.GetIds() {
		if _, err := ulid.ParseStrict(id); err != nil {
			f.addf("loss %q: it is no id", id)
		}
	}
	for _, text := range [][2]string{{"by", m.GetBy()}, {"note", m.GetNote()}} {
		if len(text[1]) > MaxLabel {
			f.addf("%s has %d B, maximum is %d B", text[0], len(text[1]), MaxLabel)
		}
		if !utf8.ValidString(text[1]) {
			f.addf("%s %q is no UTF-8", text[0], text[1])
		}
	}
	if failure := f.failure(); failure != nil {
		return failure.Advise("name losses as health does, or all, and a note of up to 256 B")
	}
	return nil
}

// Check returns what is wrong with the request, or nil.
func (m *ListLosses) Check() *Failure {
	var f faults
	for i, table := range m.GetTables() {
		if err := CheckTableName(table); err != nil {
			f.addf("table %d: %v", i, err)
		}
	}
	if failure := f.failure(); failure != nil {
		return failure.Advise("name tables, or none for all")
	}
	return nil
}

// Check returns what is wrong with the request, or nil.
func (m *ListEvents) Check() *Failure {
	return checkSince(m.GetSince())
}

// Check returns what is wrong with the request, or nil.
func (m *ListHistory) Check() *Failure { return checkSince(m.GetSince()) }

func checkSince(since *timestamppb.Timestamp) *Failure {
	if since == nil || since.IsValid() {
		return nil
	}
	return Failf(Code_CODE_INVALID_ARGUMENT, "since is no time: %v", since.CheckValid()).
		Advise("leave since unset for all there is")
}
