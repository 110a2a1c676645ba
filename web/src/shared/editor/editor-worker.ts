// What the editor computes beside the page: differences of two texts, and words.
import 'monaco-editor/editor/editor.worker';
