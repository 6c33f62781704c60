package ops

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/gabiondb/gabion/messages"
)

// ConfigError is one fault of a configuration. It matches messages.ErrInvalid.
type ConfigError struct {
	// Where is the fault's place: FILE:LINE, a flag or a variable.
	Where string
	// Line is the number of the line in the file, from 1, and Text what stands there. Zero and empty
	// elsewhere.
	Line int
	Text string
	// Err says what is wrong.
	Err error
}

func (e *ConfigError) Error() string {
	text := fmt.Sprintf("%s: %v", e.Where, e.Err)
	if e.Text != "" {
		text += fmt.Sprintf("\n%d | %s", e.Line, e.Text)
	}
	return text
}

// Is matches messages.ErrInvalid.
func (e *ConfigError) Is(target error) bool { return target == messages.ErrInvalid }

func (e *ConfigError) Unwrap() error { return e.Err }

// place is where a value stands.
type place struct {
	where string
	line  int
	text  string
}

func (p place) fault(err error) error {
	return &ConfigError{Where: p.where, Line: p.line, Text: p.text, Err: err}
}

// file is a configuration file that is being read. The walk gathers every fault, where decoding into a struct
// would end at the first, and would not know the line of a bad duration.
type file struct {
	path   string
	lines  []string
	values map[string]given
	faults []error
}

// readFile returns the values of the file at path, by key, beside the faults. An empty path has none.
func readFile(path string) (map[string]given, []error) {
	if path == "" {
		return nil, nil
	}
	data, err := readNamed(path, maxFile)
	if err != nil {
		hint := "check the path that --config or GABION_CONFIG names"
		switch {
		case errors.Is(err, os.ErrPermission):
			hint = "make the file readable for this user"
		case errors.Is(err, messages.ErrDeadline):
			hint = messages.Hints(err)[0]
		}
		return nil, []error{messages.WithHint(&ConfigError{Where: path, Err: err}, hint)}
	}
	return parseFile(path, data)
}

// maxFile bounds a configuration file, in bytes: it is parsed as a whole.
const maxFile = 64 << 10

func parseFile(path string, data []byte) (map[string]given, []error) {
	if len(data) > maxFile {
		return nil, []error{messages.WithHint(&ConfigError{Where: path, Err: fmt.Errorf("file has %d B, maximum is %d B", len(data), maxFile)},
			"name the file of a configuration")}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // some editors write one
	f := &file{path: path, lines: strings.Split(string(data), "\n"), values: make(map[string]given)}
	if f.plain(); len(f.faults) > 0 {
		return nil, f.faults
	}
	parsed, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, []error{f.syntax(err)}
	}
	documents := slices.DeleteFunc(parsed.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	switch len(documents) {
	case 0:
	case 1:
		f.section("", documents[0].Body)
	default:
		f.addf(documents[1].Body, "keep one document in the file", "a second document begins here")
	}
	return f.values, f.faults
}

// plain finds what the parser would read as something else, or not say clearly: text that is no UTF-8, control characters,
// and directives.
func (f *file) plain() {
	for i, line := range f.lines {
		fault := func(hint, format string, args ...any) {
			f.faults = append(f.faults, f.line(i+1).fault(messages.WithHint(fmt.Errorf(format, args...), hint)))
		}
		control := strings.IndexFunc(strings.TrimSuffix(line, "\r"), func(r rune) bool { return r != '\t' && unicode.IsControl(r) })
		switch {
		case !utf8.ValidString(line):
			fault("save the file as UTF-8", "not valid UTF-8")
		case control >= 0:
			fault("save the file as plain text in UTF-8", "control character %q", []rune(line[control:])[0])
		case strings.HasPrefix(line, "%"):
			fault("remove the line", "directives such as %%YAML are not understood")
		default:
			continue
		}
		return // of a binary file every line would be one
	}
}

// syntax is the error of a file that is no YAML.
func (f *file) syntax(err error) error {
	p := place{where: f.path}
	text := err.Error()
	var e yaml.Error
	if errors.As(err, &e) {
		text = e.GetMessage()
		if token := e.GetToken(); token != nil && token.Position != nil {
			p = f.line(token.Position.Line)
		}
	}
	return p.fault(messages.WithHint(errors.New(text), "write YAML: key: value, one to a line"))
}

func (f *file) line(n int) place {
	p := place{where: fmt.Sprintf("%s:%d", f.path, n), line: n}
	if n >= 1 && n <= len(f.lines) {
		p.text = strings.TrimSpace(f.lines[n-1])
	}
	return p
}

func (f *file) at(node ast.Node) place {
	token := node.GetToken()
	if token == nil || token.Position == nil {
		return place{where: f.path}
	}
	return f.line(token.Position.Line)
}

func (f *file) addf(node ast.Node, hint, format string, args ...any) {
	f.faults = append(f.faults, f.at(node).fault(messages.WithHint(fmt.Errorf(format, args...), hint)))
}

// section reads the settings whose keys begin with prefix.
func (f *file) section(prefix string, node ast.Node) {
	mapping, ok := node.(*ast.MappingNode)
	if !ok {
		name := "the file"
		if prefix != "" {
			name = strings.TrimSuffix(prefix, ".")
		}
		f.addf(node, "write key: value, one to a line", "%s is no mapping", name)
		return
	}
	for _, pair := range mapping.Values {
		name := pair.Key.GetToken().Value
		key := prefix + name
		i := slices.IndexFunc(Settings(), func(s Setting) bool { return s.Key == key && !strings.Contains(name, ".") })
		switch {
		case i >= 0:
			f.value(Settings()[i], pair)
		case isSection(key):
			f.section(key+".", pair.Value)
		default:
			f.addf(pair.Key, nearest(key), "unknown key %q", key)
		}
	}
}

func isSection(key string) bool {
	return slices.ContainsFunc(Settings(), func(s Setting) bool { return strings.HasPrefix(s.Key, key+".") })
}

// value reads one setting.
func (f *file) value(setting Setting, pair *ast.MappingValueNode) {
	nodes := []ast.Node{pair.Value}
	if setting.Kind == Names {
		sequence, ok := pair.Value.(*ast.SequenceNode)
		if !ok {
			f.addf(pair.Key, fmt.Sprintf("write %s: [a, b]", setting.Key), "%s is no list", setting.Key)
			return
		}
		nodes = sequence.Values
	}
	g := given{texts: []string{}, source: "file " + f.at(pair.Key).where}
	for _, node := range nodes {
		text, ok := scalar(node)
		switch {
		case ok:
			g.texts = append(g.texts, text)
			g.at = append(g.at, f.at(node))
		case node.Type() == ast.NullType:
			f.addf(pair.Key, "give it a value, or remove the line", "%s has no value", setting.Key)
			return
		default:
			f.addf(pair.Key, "write plain text; anchors, aliases and tags are not understood", "%s is no plain value", setting.Key)
			return
		}
	}
	f.values[setting.Key] = g
}

// scalar is the text of a plain value, as it is written.
func scalar(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return node.GetToken().Value, true
	}
	return "", false
}

// nearest is a hint that names the key which may have been meant.
func nearest(key string) string {
	best, distance := "", len(key)/2+1
	for _, s := range Settings() {
		_, name, _ := strings.Cut(s.Key, ".")
		for _, candidate := range []string{s.Key, name} {
			if d := editDistance(key, candidate); candidate != "" && d < distance {
				best, distance = s.Key, d
			}
		}
	}
	if best == "" {
		return "gabion config show lists the keys"
	}
	return fmt.Sprintf("did you mean %s?", best)
}

// editDistance is how many letters must be put in, taken out or changed to make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
