"""The expected numbers of src/eval/classes: scikit-learn 1.9.1.

pip install scikit-learn && python tests/references/classification.py
"""
import numpy as np
from sklearn.metrics import accuracy_score, f1_score
from sklearn.naive_bayes import MultinomialNB

true = [0, 0, 1, 1, 2, 2, 2, 0, 1, 3]
said = [0, 1, 1, 1, 2, 0, 2, 0, 2, 1]
print("accuracy", accuracy_score(true, said), "macro F1", f1_score(true, said, average="macro", zero_division=0))
texts = [[0, 1, 1, 3], [0, 0, 2], [4, 4, 5, 2], [5, 5, 1], [4, 3], [0, 5, 5, 5]]
labels = [0, 0, 1, 1, 1, 0]
counts = np.array([[t.count(w) for w in range(7)] for t in texts])
model = MultinomialNB(alpha=1.0).fit(counts, labels)
for new in ([0, 2, 6], [4, 5], [5, 5, 0]):
    print("log p", model.predict_joint_log_proba(np.array([[new.count(w) for w in range(7)]])))
